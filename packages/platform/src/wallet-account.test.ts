import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { privateKeyToAddress } from 'viem/accounts'
import { assertRefused } from '../../../test/support/assert-refused.ts'
import { parseConfigFile } from './config-section.ts'
import { loadLocalWallet, loadWallet } from './wallet-account.ts'
import { readWalletSource, type WalletSource } from './wallet-source.ts'

/** From the Web3 Secret Storage Definition. */
const PBKDF2 = `{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},
"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2","kdfparams":{"c":262144,
"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},"version":3}`
const PBKDF2_KEY = '0x7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d'
/** Made by the keystore of ox 0.14, of a key of 0x11 alone. */
const SCRYPT = `{"crypto":{"cipher":"aes-128-ctr","ciphertext":"4ec97947e0abbead0249dcfe0b5ec25f8641342ffe2abc14f4f902b379b520c2",
"cipherparams":{"iv":"36ed0f75dc41afc26b2a4f12668f5ea9"},"kdf":"scrypt","kdfparams":{"dklen":32,"n":4096,"p":8,"r":1,
"salt":"80262b8b7d01b3f0d14fca213113886aab7f8f2dbc2d552a7aeca966444753a0"},
"mac":"391c57e0ea835390963b3d8874d7f72ba64bac13c5744d81b28c81165630731c"},"version":3}`
const SCRYPT_KEY = `0x${'11'.repeat(32)}` as const

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wallet-'))
})
after(() => rm(folder, { recursive: true, force: true }))

async function secret(name: string, text: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, text, { mode: 0o600 })
  return path
}

async function addressOf(source: WalletSource, env = {}): Promise<string> {
  return (await loadLocalWallet(source, env)).address
}

test('keystores of both key derivations are opened, with the password from a file or the environment', async () => {
  const passwordFile = await secret('password', 'testpassword\n')
  const pbkdf2: WalletSource = { kind: 'keystore', path: await secret('pbkdf2', PBKDF2), passwordFile }
  assert.equal(await addressOf(pbkdf2), privateKeyToAddress(PBKDF2_KEY))
  const scrypt: WalletSource = { kind: 'keystore', path: await secret('scrypt', SCRYPT), passwordEnv: 'PASSWORD' }
  assert.equal(await addressOf(scrypt, { PASSWORD: 'correct horse' }), privateKeyToAddress(SCRYPT_KEY))
})

test('a wrong password, a damaged file and parameters that would take the machine are CHANNEL_WALLET', async () => {
  const open = async (text: string, PASSWORD = 'correct horse') =>
    addressOf({ kind: 'keystore', path: await secret('damaged', text), passwordEnv: 'PASSWORD' }, { PASSWORD })
  await assertRefused('CHANNEL_WALLET', /the password is not the one/, () => open(SCRYPT, 'correct hors'))
  await assertRefused('CHANNEL_WALLET', /environment variable PASSWORD is not set/, () => open(SCRYPT, ''))
  await assertRefused('CHANNEL_WALLET', /more than a gibibyte/, () =>
    open(SCRYPT.replace('"n":4096', '"n":1073741824')),
  )
  await assertRefused('CHANNEL_WALLET', /not valid/, () => open(SCRYPT.replace('"n":4096', '"n":4095')))
  await assertRefused('CHANNEL_WALLET', /pbkdf2 parameters/, () => open(PBKDF2.replace('262144', '99999999')))
  await assertRefused('CHANNEL_WALLET', /not of version 3/, () => open(SCRYPT.replace('"version":3', '"version":1')))
  for (let length = 0; length < SCRYPT.length; length += 9)
    await assertRefused('CHANNEL_WALLET', /cannot be opened/, () => open(SCRYPT.slice(0, length)))
})

test('a mnemonic gives the account of its path, and words that are none are not repeated', async () => {
  const path = await secret('words', 'test test test test test test test test test test test junk\n')
  const source = { kind: 'mnemonic', path } as const
  assert.equal(
    await addressOf({ ...source, derivation: "m/44'/60'/0'/0/0" }),
    '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266',
  )
  assert.equal(
    await addressOf({ ...source, derivation: "m/44'/60'/0'/0/1" }),
    '0x70997970C51812dc3A010C7d01b50e0d17dc79C8',
  )
  const wrong = await secret('wrong', 'some secret words')
  await assert.rejects(addressOf({ kind: 'mnemonic', path: wrong, derivation: 'm/0' }), (error: Error) => {
    assert.doesNotMatch(error.message, /secret/)
    return /no mnemonic/.test(error.message)
  })
})

test('a key in the environment is taken, and never repeated', async () => {
  const source = { kind: 'env', variable: 'KEY' } as const
  assert.equal(await addressOf(source, { KEY: SCRYPT_KEY }), privateKeyToAddress(SCRYPT_KEY))
  await assertRefused('CHANNEL_WALLET', /^environment variable KEY holds no private key/, () =>
    addressOf(source, { KEY: 'abc' }),
  )
})

test('files that others may read are refused', async () => {
  const path = join(folder, 'open')
  await writeFile(path, SCRYPT, { mode: 0o644 })
  await assertRefused('PLATFORM_STATE', /mode 644/, () =>
    addressOf({ kind: 'keystore', path, passwordEnv: 'P' }, { P: 'x' }),
  )
})

test('a configuration names one source, whole', async () => {
  const read = (text: string) => readWalletSource(parseConfigFile(text, 'c.yaml'), '/etc/tp')
  assert.deepEqual(read('keystore: k\npasswordFile: p'), {
    kind: 'keystore',
    path: '/etc/tp/k',
    passwordFile: '/etc/tp/p',
  })
  assert.deepEqual(read('mnemonicFile: m'), { kind: 'mnemonic', path: '/etc/tp/m', derivation: "m/44'/60'/0'/0/0" })
  assert.deepEqual(read('keyEnv: K'), { kind: 'env', variable: 'K' })
  for (const text of [
    '{}',
    'keyFile: a\nkeyEnv: b',
    'keystore: k',
    'keystore: k\npasswordFile: p\npasswordEnv: q',
    'mnemonicFile: m\nderivation: x',
    'signer: http://127.0.0.1:1',
    'signer: ftp://x',
    'key: "0x11"',
  ])
    await assertRefused('PLATFORM_CONFIG', /c\.yaml/, async () => read(text))
})

test('an external signer is for people who are there: whoever claims unattended is told so', async () => {
  const source = { kind: 'signer', url: 'http://127.0.0.1:1', address: privateKeyToAddress(SCRYPT_KEY) } as const
  assert.ok('sendTransaction' in (await loadWallet(source, {})))
  await assertRefused('PLATFORM_CONFIG', /without anybody there/, () => loadLocalWallet(source, {}))
})
