// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ClaimItem, Terms} from "../../src/EscrowTypes.sol";
import {IPodEscrow} from "../../src/IPodEscrow.sol";
import {EscrowFixture} from "./EscrowFixture.sol";
import {BlockingToken} from "./Tokens.sol";

/// A second, plainer account of the escrow. Every step tries one call with chance arguments by a chance caller, says
/// beforehand whether the contract must accept it, and keeps the books that the contract must agree with.
contract EscrowModel is EscrowFixture {
    struct Book {
        Terms terms;
        uint256 deposited;
        uint256 claimed;
        uint256 openedAt;
        uint256 requestedAt;
        bool closed;
    }

    uint256 private constant MAX_CHANNELS = 16;
    uint256 private constant SECOND_PAYER_KEY = 0xA11CE2;
    uint256 private constant SECOND_PROVIDER_KEY = 0xB0B2;

    Book[] private _books;
    mapping(address account => uint256) public credited;
    /// How often each step was accepted and refused: shows that the walk goes everywhere.
    mapping(string step => uint256) public accepted;
    mapping(string step => uint256) public refused;
    BlockingToken private _blocking = new BlockingToken();

    constructor(IPodEscrow escrow_) {
        escrow = escrow_;
        token = _blocking;
        for (uint256 i = 0; i < 5; i++) {
            token.mint(actor(i), 1e12);
            vm.prank(actor(i));
            token.approve(address(escrow), type(uint256).max);
        }
    }

    function open(uint256 who, uint256 by, uint96 rate, uint256 delay, uint256 amount) external {
        Terms memory t = freshTerms(who, rate, delay);
        amount = bound(amount, 0, 20e6);
        address caller = actor(by);
        bool wanted = caller == t.payer && amount > 0 && room() && !_blocking.blocked(caller);
        if (!room()) return;
        if (attempt("open", caller, abi.encodeCall(escrow.open, (t, uint128(amount))), wanted)) {
            enter(t, amount);
        }
    }

    function openFromCredit(uint256 who, uint256 by, uint96 rate, uint256 delay, uint256 amount) external {
        if (!room()) return;
        Terms memory t = freshTerms(who, rate, delay);
        address caller = actor(by);
        uint256 available = credited[caller];
        amount = bound(amount, 0, available + available / 4);
        bool wanted = caller == t.payer && amount <= available && available > 0;
        bytes memory call = abi.encodeCall(escrow.openFromCredit, (t, uint128(amount)));
        if (!attempt("openFromCredit", caller, call, wanted)) return;
        if (amount == 0) amount = available;
        credited[caller] -= amount;
        enter(t, amount);
    }

    /// Opens with an authorisation, or tops up.
    function deposit(uint256 which, uint256 by, uint256 amount, bytes32 salt, bool isNew) external {
        if (isNew ? !room() : _books.length == 0) return;
        uint256 index = isNew ? _books.length : which % _books.length;
        Terms memory t = isNew ? freshTerms(which, RATE, DELAY) : _books[index].terms;
        amount = bound(amount, 1, 20e6);
        salt = keccak256(abi.encode(salt, block.timestamp, _books.length, which, amount));
        Signature memory sig = authorisation(keyOf(t.payer), t, uint128(amount), salt);
        bytes memory call = abi.encodeCall(
            escrow.depositWithAuthorization, (t, uint128(amount), 0, type(uint40).max, salt, sig.v, sig.r, sig.s)
        );
        bool wanted = !_blocking.blocked(t.payer) && (isNew || (isOpen(index) && _books[index].requestedAt == 0));
        bool fresh = !token.authorizationState(t.payer, keccak256(abi.encode(idOf(t), salt)));
        if (!attempt("depositWithAuthorization", actor(by), call, wanted && fresh)) return;
        if (isNew) enter(t, amount);
        else _books[index].deposited += amount;
    }

    function topUp(uint256 which, uint256 by, uint256 amount) external {
        if (_books.length == 0) return;
        Book storage b = _books[which % _books.length];
        address caller = by % 2 == 0 ? b.terms.payer : stranger;
        amount = bound(amount, 0, 20e6);
        bool wanted = !b.closed && b.requestedAt == 0 && amount > 0 && !_blocking.blocked(caller);
        bytes memory call = abi.encodeCall(escrow.topUp, (b.terms, uint128(amount)));
        if (attempt("topUp", caller, call, wanted)) b.deposited += amount;
    }

    function claim(uint256 which, uint256 by, uint256 share, uint256 signer) external {
        if (_books.length == 0) return;
        Book storage b = _books[which % _books.length];
        uint128 cumulative = uint128(capOf(b) * bound(share, 0, 110) / 100);
        uint256 key = signer % 8 == 0 ? keyOf(b.terms.provider) : METER_KEY;
        bytes memory sig = signed(key, receiptDigest(b.terms, cumulative));
        bool wanted = payable_(b, cumulative) && cumulative <= capOf(b) && key == METER_KEY;
        bytes memory call = abi.encodeCall(escrow.claim, (b.terms, cumulative, USAGE, sig));
        if (attempt("claim", actor(by), call, wanted)) collect(b, cumulative);
    }

    /// One receipt for every channel, each for the same share of its cap.
    function claimBatch(uint256 by, uint256 share) external {
        share = bound(share, 0, 101);
        ClaimItem[] memory items = new ClaimItem[](_books.length);
        bool wanted = true;
        for (uint256 i = 0; i < items.length; i++) {
            Book storage b = _books[i];
            uint128 cumulative = uint128(capOf(b) * share / 100);
            items[i] = ClaimItem(b.terms, cumulative, USAGE, receipt(b.terms, cumulative));
            bool passedOver = b.closed || cumulative <= b.claimed;
            if (!passedOver && (cumulative > capOf(b) || cumulative > b.deposited)) wanted = false;
        }
        bytes memory call = abi.encodeCall(escrow.claimBatch, (items));
        if (!attempt("claimBatch", actor(by), call, wanted)) return;
        for (uint256 i = 0; i < items.length; i++) {
            Book storage b = _books[i];
            if (!b.closed && items[i].cumulative > b.claimed) collect(b, items[i].cumulative);
        }
    }

    function redeem(uint256 which, uint256 by, uint256 share, uint256 signer) external {
        if (_books.length == 0) return;
        Book storage b = _books[which % _books.length];
        uint128 cumulative = uint128(b.deposited * bound(share, 0, 105) / 100);
        uint256 key = signer % 8 == 0 ? METER_KEY : SESSION_KEY;
        bytes memory sig = signed(key, voucherDigest(b.terms, cumulative));
        bool wanted = payable_(b, cumulative) && key == SESSION_KEY;
        bytes memory call = abi.encodeCall(escrow.redeem, (b.terms, cumulative, sig));
        if (attempt("redeem", actor(by), call, wanted)) collect(b, cumulative);
    }

    function withdraw(uint256 by, uint256 amount) external {
        address caller = actor(by);
        uint256 available = credited[caller];
        amount = bound(amount, 0, available + available / 4);
        bool wanted = available > 0 && amount <= available && !_blocking.blocked(caller);
        uint256 before = token.balanceOf(caller);
        bytes memory call = abi.encodeCall(escrow.withdraw, (address(token), caller, amount));
        if (!attempt("withdraw", caller, call, wanted)) return;
        if (amount == 0) amount = available;
        credited[caller] -= amount;
        assertEq(token.balanceOf(caller), before + amount, "balance after a withdrawal");
    }

    function withdrawFor(uint256 by, uint256 whose) external {
        address account = actor(whose);
        uint256 available = credited[account];
        bool wanted = available > 0 && !_blocking.blocked(account);
        uint256 before = token.balanceOf(account);
        bytes memory call = abi.encodeCall(escrow.withdrawFor, (account, address(token)));
        if (!attempt("withdrawFor", actor(by), call, wanted)) return;
        credited[account] = 0;
        assertEq(token.balanceOf(account), before + available, "balance after a withdrawal for somebody");
    }

    function requestClose(uint256 which, uint256 by) external {
        if (_books.length == 0) return;
        Book storage b = _books[which % _books.length];
        address caller = actor(by);
        bool wanted = caller == b.terms.payer && !b.closed && b.requestedAt == 0;
        if (attempt("requestClose", caller, abi.encodeCall(escrow.requestClose, (b.terms)), wanted)) {
            b.requestedAt = block.timestamp;
        }
    }

    function finalizeClose(uint256 which, uint256 by) external {
        if (_books.length == 0) return;
        Book storage b = _books[which % _books.length];
        bool isDue = b.requestedAt > 0 && block.timestamp >= b.requestedAt + b.terms.unlockDelay;
        bytes memory call = abi.encodeCall(escrow.finalizeClose, (b.terms));
        if (attempt("finalizeClose", actor(by), call, isDue && !b.closed)) settle(b);
    }

    function settleClose(uint256 which, uint256 by, uint256 share, uint256 signer) external {
        if (_books.length == 0) return;
        Book storage b = _books[which % _books.length];
        address caller = actor(by);
        uint128 cumulative = uint128(b.deposited * bound(share, 0, 105) / 100);
        bool byProvider = signer % 2 == 0;
        uint64 deadline = uint64(block.timestamp);
        bytes32 digest = closeDigest(b.terms, cumulative, deadline);
        bytes memory sig = signed(byProvider ? keyOf(b.terms.provider) : STRANGER_KEY, digest);
        bool wanted = caller == b.terms.provider
            ? cumulative <= b.claimed
            : caller == b.terms.payer && byProvider && cumulative <= b.deposited;
        bytes memory call = abi.encodeCall(escrow.settleClose, (b.terms, cumulative, deadline, sig));
        if (!attempt("settleClose", caller, call, wanted && !b.closed)) return;
        if (cumulative > b.claimed) collect(b, cumulative);
        settle(b);
    }

    /// Every id that was ever used is tried again.
    function reopen(uint256 which, uint256 amount) external {
        if (_books.length == 0) return;
        Terms memory t = _books[which % _books.length].terms;
        amount = bound(amount, 1, 20e6);
        attempt("open again", t.payer, abi.encodeCall(escrow.open, (t, uint128(amount))), false);
    }

    function pass(uint256 time) external {
        skip(bound(time, 1, 8 hours));
    }

    function setBlocked(uint256 who, bool value) external {
        _blocking.setBlocked(actor(who), value && who % 3 == 0);
    }

    function count() external view returns (uint256) {
        return _books.length;
    }

    function bookAt(uint256 index) external view returns (Book memory) {
        return _books[index];
    }

    function tokenAddress() external view returns (BlockingToken) {
        return _blocking;
    }

    /// Two payers, two providers, a stranger.
    function actor(uint256 seed) public view returns (address) {
        uint256 index = seed % 5;
        return index == 4 ? stranger : vm.addr(actorKey(index));
    }

    /// What receipts of this channel may add up to now, from the times in the book.
    function capOf(Book memory b) public view returns (uint256) {
        uint256 end = block.timestamp;
        if (b.requestedAt > 0 && end > b.requestedAt + 5 minutes) end = b.requestedAt + 5 minutes;
        return uint256(b.terms.ratePerHour) * (end - b.openedAt) / 3600;
    }

    function attempt(string memory step, address caller, bytes memory call, bool wanted) private returns (bool ok) {
        vm.prank(caller);
        (ok,) = address(escrow).call(call);
        assertEq(ok ? 1 : 0, wanted ? 1 : 0, step);
        if (ok) accepted[step]++;
        else refused[step]++;
    }

    function freshTerms(uint256 who, uint96 rate, uint256 delay) private view returns (Terms memory t) {
        t = termsOf(bytes32(_books.length + 1));
        t.payer = actor(who % 2);
        t.provider = actor(2 + who / 2 % 2);
        t.ratePerHour = uint96(bound(rate, 0, 10e6));
        t.unlockDelay = uint32(bound(delay, 15 minutes, 12 hours));
    }

    function room() private view returns (bool) {
        return _books.length < MAX_CHANNELS;
    }

    function enter(Terms memory t, uint256 amount) private {
        _books.push(Book(t, amount, 0, block.timestamp, 0, false));
    }

    function isOpen(uint256 index) private view returns (bool) {
        return !_books[index].closed;
    }

    function payable_(Book memory b, uint256 cumulative) private pure returns (bool) {
        return !b.closed && cumulative > b.claimed && cumulative <= b.deposited;
    }

    function collect(Book storage b, uint256 cumulative) private {
        credited[b.terms.provider] += cumulative - b.claimed;
        b.claimed = cumulative;
    }

    function settle(Book storage b) private {
        b.closed = true;
        credited[b.terms.payer] += b.deposited - b.claimed;
    }

    function actorKey(uint256 index) private pure returns (uint256) {
        uint256[4] memory keys = [PAYER_KEY, SECOND_PAYER_KEY, PROVIDER_KEY, SECOND_PROVIDER_KEY];
        return keys[index];
    }

    function keyOf(address account) private view returns (uint256) {
        for (uint256 i = 0; i < 4; i++) {
            if (actor(i) == account) return actorKey(i);
        }
        revert NotTrue("an account with a key");
    }
}
