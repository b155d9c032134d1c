// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Channel, ClaimItem, EscrowHash, Terms} from "./EscrowTypes.sol";
import {IPodEscrow} from "./IPodEscrow.sol";

/// See IPodEscrow. Only functions that move tokens are guarded against re-entry. The others call out by STATICCALL at most,
/// but for `selfPermit`, which touches no state.
contract PodEscrow is IPodEscrow, EIP712, Multicall, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// Shortest and longest time that a provider can have to claim after a close request.
    uint32 public constant MIN_UNLOCK = 15 minutes;
    uint32 public constant MAX_UNLOCK = 30 days;
    /// The cap still grows this long after a close request: the time that a provider has to notice it and stop the pod.
    uint32 public constant STOP_GRACE = 5 minutes;

    mapping(bytes32 id => Channel) private _channels;
    /// By account, then by token.
    mapping(address account => mapping(address token => uint256)) public credit;

    constructor() EIP712("Trusted Pods Escrow", "1") {}

    // Funding

    function open(Terms calldata t, uint128 amount) external nonReentrant {
        if (msg.sender != t.payer) revert NotAuthorized();
        _create(channelIdOf(t), t, amount);
        _pull(t.token, amount);
    }

    function topUp(Terms calldata t, uint128 amount) external nonReentrant {
        _increase(channelIdOf(t), msg.sender, amount);
        _pull(t.token, amount);
    }

    function selfPermit(address token, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external {
        try IERC20Permit(token).permit(msg.sender, address(this), value, deadline, v, r, s) {} catch {}
    }

    function depositWithAuthorization(
        Terms calldata t,
        uint128 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 salt,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant {
        bytes32 id = channelIdOf(t);
        if (_channels[id].openedAt == 0) _create(id, t, amount);
        else _increase(id, t.payer, amount);
        uint256 before = IERC20(t.token).balanceOf(address(this));
        bytes32 nonce = keccak256(abi.encode(id, salt));
        IERC3009(t.token)
            .receiveWithAuthorization(t.payer, address(this), amount, validAfter, validBefore, nonce, v, r, s);
        _requireReceived(t.token, before, amount);
    }

    function openFromCredit(Terms calldata t, uint128 amount) external {
        if (msg.sender != t.payer) revert NotAuthorized();
        uint256 available = credit[msg.sender][t.token];
        if (amount == 0) amount = SafeCast.toUint128(available);
        if (amount > available) revert OverCredit(available);
        credit[msg.sender][t.token] = available - amount;
        _create(channelIdOf(t), t, amount);
    }

    // Payment

    function claim(Terms calldata t, uint128 cumulative, bytes32 usageHash, bytes calldata meterSig) external {
        bytes32 id = channelIdOf(t);
        _claim(id, _requireOpen(id), t, cumulative, usageHash, meterSig);
    }

    function claimBatch(ClaimItem[] calldata items) external {
        for (uint256 i = 0; i < items.length; i++) {
            ClaimItem calldata item = items[i];
            bytes32 id = channelIdOf(item.terms);
            Channel storage c = _channels[id];
            if (c.openedAt == 0) revert NotOpen();
            if (c.closed || item.cumulative <= c.claimed) continue;
            _claim(id, c, item.terms, item.cumulative, item.usageHash, item.meterSig);
        }
    }

    function redeem(Terms calldata t, uint128 cumulative, bytes calldata voucherSig) external {
        bytes32 id = channelIdOf(t);
        Channel storage c = _requireOpen(id);
        address signer = t.voucherSigner == address(0) ? t.payer : t.voucherSigner;
        if (!_signedBy(signer, EscrowHash.voucher(id, cumulative), voucherSig)) revert BadSignature();
        _collect(id, c, t, cumulative, bytes32(0));
    }

    function withdraw(address token, address to, uint256 amount) external nonReentrant {
        uint256 available = credit[msg.sender][token];
        if (amount == 0) amount = available;
        if (amount == 0) revert ZeroAmount();
        if (amount > available) revert OverCredit(available);
        credit[msg.sender][token] = available - amount;
        IERC20(token).safeTransfer(to, amount);
        emit Withdrawn(msg.sender, token, to, amount);
    }

    function withdrawFor(address account, address token) external nonReentrant {
        uint256 amount = credit[account][token];
        if (amount == 0) revert ZeroAmount();
        credit[account][token] = 0;
        IERC20(token).safeTransfer(account, amount);
        emit Withdrawn(account, token, account, amount);
    }

    // Closing

    function requestClose(Terms calldata t) external {
        if (msg.sender != t.payer) revert NotAuthorized();
        bytes32 id = channelIdOf(t);
        Channel storage c = _requireOpen(id);
        if (c.closeAt != 0) revert Locked(c.closeAt);
        c.accrualEnd = uint40(block.timestamp) + STOP_GRACE;
        c.closeAt = uint40(block.timestamp) + t.unlockDelay;
        emit CloseRequested(id, t.provider, c.closeAt);
    }

    function finalizeClose(Terms calldata t) external {
        bytes32 id = channelIdOf(t);
        Channel storage c = _requireOpen(id);
        if (c.closeAt == 0 || block.timestamp < c.closeAt) revert Locked(c.closeAt);
        _close(id, c, t);
    }

    function settleClose(Terms calldata t, uint128 cumulative, uint64 deadline, bytes calldata providerSig) external {
        bytes32 id = channelIdOf(t);
        Channel storage c = _requireOpen(id);
        if (msg.sender == t.provider) {
            if (cumulative > c.claimed) revert NotAuthorized();
        } else {
            if (msg.sender != t.payer) revert NotAuthorized();
            if (block.timestamp > deadline) revert Expired();
            if (!_signedBy(t.provider, EscrowHash.close(id, cumulative, deadline), providerSig)) revert BadSignature();
            if (cumulative > c.claimed) _collect(id, c, t, cumulative, bytes32(0));
        }
        _close(id, c, t);
    }

    // Views

    function channelIdOf(Terms calldata t) public view returns (bytes32) {
        return _hashTypedDataV4(EscrowHash.terms(t));
    }

    function channels(bytes32 id) external view returns (Channel memory) {
        return _channels[id];
    }

    function accruedCap(Terms calldata t) external view returns (uint256) {
        Channel storage c = _channels[channelIdOf(t)];
        return c.openedAt == 0 ? 0 : _cap(c, t.ratePerHour);
    }

    function _create(bytes32 id, Terms calldata t, uint128 amount) private {
        if (amount == 0) revert ZeroAmount();
        if (t.payer == address(0) || t.provider == address(0) || t.token == address(0)) revert BadTerms();
        if (t.unlockDelay < MIN_UNLOCK || t.unlockDelay > MAX_UNLOCK) revert BadTerms();
        Channel storage c = _channels[id];
        if (c.openedAt != 0) revert AlreadyOpen();
        c.deposited = amount;
        c.openedAt = uint40(block.timestamp);
        emit ChannelOpened(id, t.payer, t.provider, t, amount);
    }

    function _increase(bytes32 id, address from, uint128 amount) private {
        if (amount == 0) revert ZeroAmount();
        Channel storage c = _requireOpen(id);
        if (c.closeAt != 0) revert Locked(c.closeAt);
        c.deposited += amount;
        emit ToppedUp(id, from, amount, c.deposited);
    }

    function _pull(address token, uint128 amount) private {
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        _requireReceived(token, before, amount);
    }

    function _requireReceived(address token, uint256 before, uint128 amount) private view {
        if (IERC20(token).balanceOf(address(this)) != before + amount) revert TokenShort();
    }

    function _claim(
        bytes32 id,
        Channel storage c,
        Terms calldata t,
        uint128 cumulative,
        bytes32 usageHash,
        bytes calldata meterSig
    ) private {
        if (t.meter == address(0)) {
            if (msg.sender != t.provider) revert NotAuthorized();
        } else if (!_recoversTo(t.meter, _hashTypedDataV4(EscrowHash.receipt(id, cumulative, usageHash)), meterSig)) {
            revert BadSignature();
        }
        uint256 cap = _cap(c, t.ratePerHour);
        if (cumulative > cap) revert OverCap(cap);
        _collect(id, c, t, cumulative, usageHash);
    }

    function _collect(bytes32 id, Channel storage c, Terms calldata t, uint128 cumulative, bytes32 usageHash) private {
        (uint128 deposited, uint128 claimed) = (c.deposited, c.claimed);
        if (cumulative <= claimed) revert NothingNew(claimed);
        if (cumulative > deposited) revert OverDeposit(deposited);
        c.claimed = cumulative;
        credit[t.provider][t.token] += cumulative - claimed;
        emit Claimed(id, t.provider, cumulative - claimed, cumulative, usageHash);
    }

    function _close(bytes32 id, Channel storage c, Terms calldata t) private {
        uint128 refund = c.deposited - c.claimed;
        c.closed = true;
        if (refund > 0) credit[t.payer][t.token] += refund;
        emit ChannelClosed(id, t.payer, refund);
    }

    function _requireOpen(bytes32 id) private view returns (Channel storage c) {
        c = _channels[id];
        if (c.openedAt == 0 || c.closed) revert NotOpen();
    }

    /// uint96 x uint40 stays below 2^136.
    function _cap(Channel storage c, uint96 ratePerHour) private view returns (uint256) {
        uint256 end = c.accrualEnd;
        if (end == 0 || end > block.timestamp) end = block.timestamp;
        return uint256(ratePerHour) * (end - c.openedAt) / 1 hours;
    }

    /// A key's signature counts even when its account has code (EIP-7702): else a payer could void the vouchers that it
    /// gave by delegating its account. Only then is the account asked as a contract (ERC-1271).
    function _signedBy(address signer, bytes32 structHash, bytes calldata signature) private view returns (bool) {
        bytes32 digest = _hashTypedDataV4(structHash);
        return _recoversTo(signer, digest, signature)
            || SignatureChecker.isValidERC1271SignatureNowCalldata(signer, digest, signature);
    }

    function _recoversTo(address signer, bytes32 digest, bytes calldata signature) private pure returns (bool) {
        (address recovered, ECDSA.RecoverError fault,) = ECDSA.tryRecoverCalldata(digest, signature);
        return fault == ECDSA.RecoverError.NoError && recovered == signer;
    }
}
