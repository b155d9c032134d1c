/** How far the chain was followed, in the journal. */
import type { DatabaseSync } from 'node:sqlite'
import type { CursorStore } from '@trusted-pods/protocol/chain/cursor.ts'
import type { Hex } from 'viem'

export function cursorIn(db: DatabaseSync): CursorStore {
  return {
    load: () =>
      db
        .prepare('SELECT number, hash FROM cursor ORDER BY place')
        .all()
        .map(({ number, hash }) => ({ number: BigInt(String(number)), hash: String(hash) as Hex })),
    save(trail) {
      db.exec('BEGIN; DELETE FROM cursor')
      const insert = db.prepare('INSERT INTO cursor VALUES (?, ?, ?)')
      for (const [place, { number, hash }] of trail.entries()) insert.run(number.toString(), hash, place)
      db.exec('COMMIT')
    },
  }
}
