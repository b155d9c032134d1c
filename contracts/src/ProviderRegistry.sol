// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Entry, IProviderRegistry, Row} from "./IProviderRegistry.sol";

/// See IProviderRegistry.
contract ProviderRegistry is IProviderRegistry, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    uint256 public constant MAX_RECORD_BYTES = 4096;
    /// No shorter than the usual unlock delay of a channel, so that a provider cannot leave before its pods' money is settled.
    uint32 public constant EXIT_DELAY = 7 days;
    /// Multicodec `raw`: what `announce` stores is one raw block.
    uint8 public constant CODEC_RAW = 0x55;
    uint8 public constant CODEC_DAG_CBOR = 0x71;

    IERC20 public immutable BOND_TOKEN;
    /// Base units that a new row costs; zero: no bond.
    uint96 public immutable BOND_AMOUNT;

    address[] private _providers;
    mapping(address provider => Entry) private _entries;

    constructor(IERC20 bondToken, uint96 bondAmount) {
        if (bondAmount > 0 && address(bondToken).code.length == 0) revert BadBondToken();
        BOND_TOKEN = bondToken;
        BOND_AMOUNT = bondAmount;
    }

    function announce(bytes calldata record) external nonReentrant {
        if (record.length == 0 || record.length > MAX_RECORD_BYTES) revert BadRecordLength(record.length);
        _announce(sha256(record), CODEC_RAW, record);
    }

    function announceCid(bytes32 digest, uint8 codec) external nonReentrant {
        if (codec != CODEC_RAW && codec != CODEC_DAG_CBOR) revert BadCodec(codec);
        if (digest == bytes32(0)) revert BadDigest();
        _announce(digest, codec, "");
    }

    function exit() external {
        Entry storage e = _requireListed();
        if (e.exitAt != 0) revert ExitPending(e.exitAt);
        e.exitAt = uint40(block.timestamp) + EXIT_DELAY;
        emit ProviderExit(msg.sender, e.exitAt);
    }

    function remove() external nonReentrant {
        Entry storage e = _requireListed();
        if (e.exitAt == 0 || block.timestamp < e.exitAt) revert ExitPending(e.exitAt);
        uint96 bond = e.bond;
        _unlist(e.index);
        _entries[msg.sender] = Entry(bytes32(0), 0, e.seq, uint40(block.number), 0, 0, 0);
        emit ProviderRemoved(msg.sender, bond);
        if (bond > 0) BOND_TOKEN.safeTransfer(msg.sender, bond);
    }

    function count() external view returns (uint256) {
        return _providers.length;
    }

    function entryOf(address provider) external view returns (Entry memory) {
        return _entries[provider];
    }

    function page(uint256 start, uint256 limit) external view returns (Row[] memory rows) {
        uint256 total = _providers.length;
        if (start >= total) return rows;
        uint256 size = total - start < limit ? total - start : limit;
        rows = new Row[](size);
        for (uint256 i = 0; i < size; i++) {
            address provider = _providers[start + i];
            rows[i] = Row(provider, _entries[provider]);
        }
    }

    function _announce(bytes32 digest, uint8 codec, bytes memory record) private {
        Entry storage e = _entries[msg.sender];
        bool isNew = e.index == 0;
        if (isNew) {
            _providers.push(msg.sender);
            e.index = uint32(_providers.length);
            e.bond = BOND_AMOUNT;
        }
        e.digest = digest;
        e.codec = codec;
        e.seq += 1;
        e.updatedBlock = uint40(block.number);
        e.exitAt = 0;
        emit ProviderUpdated(msg.sender, e.seq, digest, codec, e.bond, record);
        if (isNew && BOND_AMOUNT > 0) _pullBond();
    }

    function _pullBond() private {
        uint256 before = BOND_TOKEN.balanceOf(address(this));
        BOND_TOKEN.safeTransferFrom(msg.sender, address(this), BOND_AMOUNT);
        if (BOND_TOKEN.balanceOf(address(this)) != before + BOND_AMOUNT) revert TokenShort();
    }

    /// Fills the gap at `index` (one-based) with the last row.
    function _unlist(uint32 index) private {
        address last = _providers[_providers.length - 1];
        _providers[index - 1] = last;
        _entries[last].index = index;
        _providers.pop();
    }

    function _requireListed() private view returns (Entry storage e) {
        e = _entries[msg.sender];
        if (e.index == 0) revert NotListed();
    }
}
