// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// A provider's row. `digest` is the SHA-256 of its signed record: with `codec` the record's CIDv1.
struct Entry {
    bytes32 digest;
    /// Position in the list plus one; zero: not listed.
    uint32 index;
    /// Announcements ever made by this address; survives removal, so an old record can be told from a new one.
    uint32 seq;
    /// Block of the last announcement: where to look for the event that carries the record.
    uint40 updatedBlock;
    /// Unix second from which the provider may leave; zero while it does not want to.
    uint40 exitAt;
    /// Base units of the bond token held for it.
    uint96 bond;
    uint8 codec;
}

struct Row {
    address provider;
    Entry entry;
}

/// The list of providers of one chain. It can be read whole with `page`, and every record checked against the digest
/// here whatever source it came from. Nothing in a record is believed: it carries its own signature, and the provider's
/// evidence decides. The bond keeps junk rows dear and is paid back.
interface IProviderRegistry {
    event ProviderUpdated(
        address indexed provider, uint32 indexed seq, bytes32 digest, uint8 codec, uint96 bond, bytes record
    );
    event ProviderExit(address indexed provider, uint40 exitAt);
    event ProviderRemoved(address indexed provider, uint96 bond);

    error BadRecordLength(uint256 length);
    error BadCodec(uint8 codec);
    error BadDigest();
    error BadBondToken();
    error NotListed();
    error ExitPending(uint40 exitAt);
    error TokenShort();

    /// Lists the caller or updates its row, with the whole record in the event. The digest is taken here, so the row's
    /// CID (raw, sha2-256) is right by construction. Takes a pending exit back.
    function announce(bytes calldata record) external;

    /// As `announce` for a record that is only on IPFS: `digest` is the SHA-256 of the block, `codec` raw or dag-cbor.
    function announceCid(bytes32 digest, uint8 codec) external;

    /// Says that the caller leaves; its row stays readable until `remove`.
    function exit() external;

    /// Takes the caller's row off the list and pays its bond back, once EXIT_DELAY has passed since `exit`.
    function remove() external;

    /// Number of rows.
    function count() external view returns (uint256);

    /// Row of one provider; `index == 0` when it is not listed.
    function entryOf(address provider) external view returns (Entry memory);

    /// Rows from `start`, at most `limit`; empty past the end. Removal moves the last row into the gap, so a reader of
    /// several pages reads them all at one block.
    function page(uint256 start, uint256 limit) external view returns (Row[] memory rows);
}
