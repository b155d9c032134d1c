// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Channel, ClaimItem, Terms} from "./EscrowTypes.sol";

/// One-way payment channels for pods. Two authorities move money to the provider: receipts of the attested meter key, up to
/// rate x elapsed time, so that the payer may be asleep; and vouchers of the payer, up to the deposit. Every payment and
/// refund becomes credit first and is pulled from there, so no party's transfer can block the other's.
interface IPodEscrow {
    event ChannelOpened(
        bytes32 indexed id, address indexed payer, address indexed provider, Terms terms, uint128 amount
    );
    event ToppedUp(bytes32 indexed id, address indexed from, uint128 amount, uint128 deposited);
    event Claimed(bytes32 indexed id, address indexed provider, uint128 delta, uint128 cumulative, bytes32 usageHash);
    event CloseRequested(bytes32 indexed id, address indexed provider, uint40 closeAt);
    event ChannelClosed(bytes32 indexed id, address indexed payer, uint128 refund);
    event Withdrawn(address indexed account, address indexed token, address to, uint256 amount);

    error BadTerms();
    error AlreadyOpen();
    error NotOpen();
    error NotAuthorized();
    error BadSignature();
    error ZeroAmount();
    error NothingNew(uint128 claimed);
    error OverCap(uint256 cap);
    error OverDeposit(uint128 deposited);
    error OverCredit(uint256 credit);
    error Locked(uint40 closeAt);
    error Expired();
    error TokenShort();

    /// Opens a channel with the caller's tokens. The caller must be the payer: the clock of the cap starts here.
    function open(Terms calldata t, uint128 amount) external;

    /// Adds the caller's tokens to an open channel, whoever the caller is; what is left goes to the payer in the end.
    function topUp(Terms calldata t, uint128 amount) external;

    /// EIP-2612 permit for this contract, for use before `open` in one multicall. Ignores a failure: somebody who
    /// submitted the same permit first has done no harm, and without any allowance the transfer itself will fail.
    function selfPermit(address token, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// Opens or tops up with the payer's EIP-3009 authorisation, whose nonce is keccak256(channel id, salt); anyone may
    /// submit it, so the payer needs no gas coin. The nonce ties the money to exactly these terms.
    function depositWithAuthorization(
        Terms calldata t,
        uint128 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 salt,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// Opens a channel with the payer's credit; 0 means all of it. After `settleClose` in one multicall this moves a
    /// deposit to new terms without touching the token.
    function openFromCredit(Terms calldata t, uint128 amount) external;

    /// Credits the provider up to `cumulative` by a receipt of the meter, at most what rate x elapsed time allows now.
    /// Anyone may submit it. With no meter in the terms only the provider may, and `meterSig` is not looked at.
    function claim(Terms calldata t, uint128 cumulative, bytes32 usageHash, bytes calldata meterSig) external;

    /// Claims many receipts. Passes over those that bring nothing new or whose channel has closed: a stranger who
    /// submits one of them first, or finalises a close, must not make the rest fail. Any other fault fails all.
    function claimBatch(ClaimItem[] calldata items) external;

    /// Credits the provider up to `cumulative` by a voucher of the payer, at most the deposit. Anyone may submit it.
    function redeem(Terms calldata t, uint128 cumulative, bytes calldata voucherSig) external;

    /// Sends the caller's credit to `to`; 0 means all of it.
    function withdraw(address token, address to, uint256 amount) external;

    /// Sends all of an account's credit to that account. Anyone may call it, so that a payer without gas coin gets its
    /// refund; nobody can turn the money elsewhere.
    function withdrawFor(address account, address token) external;

    /// The payer's way out that needs nobody: freezes the cap after STOP_GRACE and starts the unlock delay, once.
    function requestClose(Terms calldata t) external;

    /// Refunds the payer once the unlock delay is over; anyone may call it.
    function finalizeClose(Terms calldata t) external;

    /// Closes at once with the provider's consent. The provider itself lets go by calling: it then grants itself
    /// nothing, and `cumulative` is only the least that it expects to have been claimed. The payer brings the provider's
    /// signature over a final `cumulative`, and its own call is its consent to that sum. `claimed` never falls.
    function settleClose(Terms calldata t, uint128 cumulative, uint64 deadline, bytes calldata providerSig) external;

    /// EIP-712 hash of the terms under this contract's domain.
    function channelIdOf(Terms calldata t) external view returns (bytes32);

    /// State of a channel; all zero for an id that was never opened.
    function channels(bytes32 id) external view returns (Channel memory);

    /// Most that receipts may have claimed by now, in base units, rounded down; zero for a channel never opened.
    function accruedCap(Terms calldata t) external view returns (uint256);

    /// What `account` may withdraw of `token`, in base units.
    function credit(address account, address token) external view returns (uint256);
}
