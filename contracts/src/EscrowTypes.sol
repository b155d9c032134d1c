// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// What a payer and a provider agree on. Never stored: its EIP-712 hash is the channel's id, so not one field can change.
struct Terms {
    /// Pays, and gets back what is not claimed.
    address payer;
    /// Signs vouchers; a key of one session, or a contract (ERC-1271). Zero: the payer itself.
    address voucherSigner;
    /// Is paid.
    address provider;
    /// Signs receipts; the secp256k1 key that the provider's attestation names. Zero: the provider claims by its own call.
    address meter;
    /// ERC-20 that moves exactly what it is told to; neither fees on transfer nor rebasing.
    address token;
    /// Most that receipts may claim, in token base units per 3600 s. Zero: vouchers only.
    uint96 ratePerHour;
    /// Seconds between the payer's request to close and the refund.
    uint32 unlockDelay;
    /// Any value that makes the terms unique; an id can be used once.
    bytes32 podId;
}

/// State of a channel, two slots. `openedAt == 0`: never opened. `closed`: kept for ever, so that the id cannot come back.
struct Channel {
    uint128 deposited;
    uint128 claimed;
    uint40 openedAt;
    /// Unix second at which the cap stops to grow; zero while no close was requested.
    uint40 accrualEnd;
    /// Unix second from which anyone may finalise the close; zero while none was requested.
    uint40 closeAt;
    bool closed;
}

/// One receipt of a batch; the fields of `PodEscrow.claim`.
struct ClaimItem {
    Terms terms;
    uint128 cumulative;
    bytes32 usageHash;
    bytes meterSig;
}

/// EIP-712 struct hashes of all that is hashed or signed.
library EscrowHash {
    bytes32 internal constant TERMS = keccak256(
        "Terms(address payer,address voucherSigner,address provider,address meter,address token,uint96 ratePerHour,uint32 unlockDelay,bytes32 podId)"
    );
    bytes32 internal constant RECEIPT = keccak256("Receipt(bytes32 channelId,uint128 cumulative,bytes32 usageHash)");
    bytes32 internal constant VOUCHER = keccak256("Voucher(bytes32 channelId,uint128 cumulative)");
    bytes32 internal constant CLOSE = keccak256("Close(bytes32 channelId,uint128 cumulative,uint64 deadline)");

    function terms(Terms calldata t) internal pure returns (bytes32) {
        return keccak256(abi.encode(TERMS, t));
    }

    function receipt(bytes32 id, uint128 cumulative, bytes32 usageHash) internal pure returns (bytes32) {
        return keccak256(abi.encode(RECEIPT, id, cumulative, usageHash));
    }

    function voucher(bytes32 id, uint128 cumulative) internal pure returns (bytes32) {
        return keccak256(abi.encode(VOUCHER, id, cumulative));
    }

    function close(bytes32 id, uint128 cumulative, uint64 deadline) internal pure returns (bytes32) {
        return keccak256(abi.encode(CLOSE, id, cumulative, deadline));
    }
}
