import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { after, before, test } from 'node:test'
import { type Address, encodeDeployData, encodeFunctionData, type Hex, toHex } from 'viem'
import { type DevChain, startDevChain } from '../../../../test/support/dev-chain.ts'
import { startFaultyRpc } from '../../../../test/support/faulty-rpc.ts'
import { TrustedPodsError } from '../errors.ts'
import { ZERO_ADDRESS } from './address.ts'
import { type Chain, connectChain } from './client.ts'
import { openChannel } from './escrow.ts'
import { testTokenAbi } from './gen/test-token.ts'
import { signPermit } from './permit.ts'
import { approveToken, tokenAllowance, tokenBalance } from './token.ts'
import { transact } from './transact.ts'

/** Tokens as they are found: without any permit, with a domain of version "2" and no eip712Domain(), with a fee. */
const SOURCE = `
// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;
contract Plain {
  mapping(address => uint256) public balanceOf;
  mapping(address => mapping(address => uint256)) public allowance;
  function mint(address to, uint256 amount) external { balanceOf[to] += amount; }
  function approve(address spender, uint256 amount) external returns (bool) { allowance[msg.sender][spender] = amount; return true; }
  function transferFrom(address from, address to, uint256 amount) external returns (bool) {
    allowance[from][msg.sender] -= amount; balanceOf[from] -= amount; balanceOf[to] += received(amount); return true;
  }
  function received(uint256 amount) internal view virtual returns (uint256) { return amount; }
}
contract Fee is Plain {
  function received(uint256 amount) internal pure override returns (uint256) { return amount - 1; }
}
contract Versioned is Plain {
  string public constant name = "Dollar";
  mapping(address => uint256) public nonces;
  bytes32 public immutable DOMAIN_SEPARATOR;
  constructor(string memory version) {
    DOMAIN_SEPARATOR = keccak256(abi.encode(
      keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
      keccak256(bytes(name)), keccak256(bytes(version)), block.chainid, address(this)));
  }
  function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external {
    bytes32 hash = keccak256(abi.encode(
      keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
      owner, spender, value, nonces[owner]++, deadline));
    require(ecrecover(keccak256(abi.encodePacked("\\x19\\x01", DOMAIN_SEPARATOR, hash)), v, r, s) == owner);
    allowance[owner][spender] = value;
  }
}`

type Solc = { compile(input: string): string }
type Output = { contracts: { 'T.sol': { [name: string]: { evm: { bytecode: { object: string } } } } } }
type TokenName = 'Plain' | 'Fee' | 'Versioned'

const DEPOSIT = 1_000n
let dev: DevChain
let payer: Chain
let bytecodes: Output['contracts']['T.sol']

before(async () => {
  dev = await startDevChain()
  payer = await dev.connect(0)
  const solc: Solc = createRequire(import.meta.url)('solc')
  const settings = { evmVersion: 'cancun', outputSelection: { '*': { '*': ['evm.bytecode.object'] } } }
  const output: Output = JSON.parse(
    solc.compile(JSON.stringify({ language: 'Solidity', sources: { 'T.sol': { content: SOURCE } }, settings })),
  )
  bytecodes = output.contracts['T.sol']
})
after(() => dev[Symbol.asyncDispose]())

test('a token without permit is approved first: two transactions, the same channel', async () => {
  const token = await deployToken('Plain')
  assert.equal(await signPermit(payer, { token, spender: payer.escrow, amount: 1n }), undefined)
  assert.equal(await transactionsOf(() => open(token)), 2)
  assert.equal(await tokenBalance(payer, { token, account: payer.escrow }), DEPOSIT)
})

test('a token whose permit is of version "2" and says so nowhere takes one transaction', async () => {
  const token = await deployToken('Versioned', '2')
  assert.equal(await transactionsOf(() => open(token)), 1)
  assert.equal(await tokenBalance(payer, { token, account: payer.escrow }), DEPOSIT)
})

test('a token whose domain cannot be proven is approved instead', async () => {
  const token = await deployToken('Versioned', 'of the future')
  assert.equal(await signPermit(payer, { token, spender: payer.escrow, amount: 1n }), undefined)
  assert.equal(await transactionsOf(() => open(token)), 2)
})

test('an allowance that is there already is used', async () => {
  const token = await deployToken('Versioned', '1')
  await approveToken(payer, { token, to: payer.escrow, amount: DEPOSIT })
  assert.equal(await transactionsOf(() => open(token)), 1)
  const allowance = { token, owner: dev.anvil.account(0).address, spender: payer.escrow }
  assert.equal(await tokenAllowance(payer, allowance), 0n)
})

test('a token that keeps a fee is refused with CHANNEL_BAD_TERMS', async () => {
  const token = await deployToken('Fee')
  await assert.rejects(open(token), (error) => error instanceof TrustedPodsError && error.code === 'CHANNEL_BAD_TERMS')
  assert.equal(await tokenBalance(payer, { token, account: payer.escrow }), 0n)
})

test('a token that cannot be asked is CHANNEL_RPC_UNAVAILABLE, not "has no permit"', async () => {
  const token = await deployToken('Versioned', '1')
  await using faulty = await startFaultyRpc(dev.anvil.rpc)
  const chain = await connectChain({ ...dev.config, rpc: [faulty.rpc] }, { account: dev.anvil.account(0) })
  faulty.fail('status-500', { method: /^eth_call$/ })
  await assert.rejects(
    signPermit(chain, { token, spender: chain.escrow, amount: 1n }),
    (error) => error instanceof TrustedPodsError && error.code === 'CHANNEL_RPC_UNAVAILABLE',
  )
})

async function open(token: Address): Promise<void> {
  const terms = {
    payer: dev.anvil.account(0).address,
    voucherSigner: ZERO_ADDRESS,
    provider: dev.anvil.account(1).address,
    meter: ZERO_ADDRESS,
    token,
    ratePerHour: 1n,
    unlockDelay: 900,
    podId: toHex(crypto.getRandomValues(new Uint8Array(32))),
  }
  await openChannel(payer, terms, { deposit: DEPOSIT })
}

async function transactionsOf(act: () => Promise<void>): Promise<number> {
  const count = () => payer.public.getTransactionCount({ address: dev.anvil.account(0).address })
  const before = await count()
  await act()
  return (await count()) - before
}

async function deployToken(name: TokenName, ...args: string[]): Promise<Address> {
  const bytecode: Hex = `0x${bytecodes[name]?.evm.bytecode.object}`
  const inputs = args.map(() => ({ name: 'version', type: 'string' }))
  const data = encodeDeployData({
    abi: [{ type: 'constructor', inputs, stateMutability: 'nonpayable' }],
    bytecode,
    args,
  })
  const { contract } = await transact(payer, { to: undefined, data, abi: testTokenAbi, what: `deploying ${name}` })
  assert.ok(contract)
  const mint = encodeFunctionData({
    abi: testTokenAbi,
    functionName: 'mint',
    args: [dev.anvil.account(0).address, 10n * DEPOSIT],
  })
  await transact(payer, { to: contract, data: mint, abi: testTokenAbi, what: 'minting' })
  return contract
}
