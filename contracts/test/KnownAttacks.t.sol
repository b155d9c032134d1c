// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Channel, Terms} from "../src/EscrowTypes.sol";
import {IPodEscrow} from "../src/IPodEscrow.sol";
import {EscrowFixture} from "./support/EscrowFixture.sol";

/// Four attacks that worked on an older payment contract for the same job; each is played against this one and fails. That they
/// do work by those rules is shown in AncestorAttacks.t.sol.
contract KnownAttacksTest is EscrowFixture {
    /// There, the provider's word alone paid it: the whole deposit, one block after creation.
    function test_a_provider_cannot_drain_the_deposit() public {
        Terms memory t = openChannel("pod");
        skip(12);
        uint256 cap = uint256(RATE) * 12 / 3600;
        vm.startPrank(provider);
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.claim(t, DEPOSIT, USAGE, "");
        bytes memory own = signed(PROVIDER_KEY, receiptDigest(t, DEPOSIT));
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.claim(t, DEPOSIT, USAGE, own);
        // Even a stolen meter key takes no more than the time is worth.
        bytes memory stolen = receipt(t, DEPOSIT);
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.OverCap.selector, cap));
        escrow.claim(t, DEPOSIT, USAGE, stolen);
        vm.expectRevert(IPodEscrow.NotAuthorized.selector);
        escrow.settleClose(t, DEPOSIT, type(uint64).max, "");
        bytes memory asVoucher = signed(PROVIDER_KEY, voucherDigest(t, DEPOSIT));
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.redeem(t, DEPOSIT, asVoucher);
        assertEq(creditOf(provider), 0, "provider's credit");
    }

    /// There, an unlock of the key's former channel still ran: a fresh deposit could be taken out at once.
    function test_a_channel_cannot_be_born_unlocked() public {
        Terms memory t = openChannel("pod");
        requestClose(t);
        skip(DELAY);
        escrow.finalizeClose(t);
        vm.expectRevert(IPodEscrow.AlreadyOpen.selector);
        openWith(t);

        Terms memory next = openChannel("next");
        Channel memory c = channelOf(next);
        assertEq(c.closeAt, 0, "closeAt of the next");
        assertEq(c.accrualEnd, 0, "accrualEnd of the next");
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.Locked.selector, 0));
        vm.prank(payer);
        escrow.finalizeClose(next);
    }

    /// There, an address once authorised for a key could withdraw from every later channel of that key to itself.
    function test_no_authority_survives_a_close() public {
        Terms memory t = openChannel("pod");
        bytes memory oldVoucher = voucher(t, DEPOSIT);
        skip(1 hours);
        bytes memory oldReceipt = receipt(t, 500);
        bytes memory oldConsent = signed(PROVIDER_KEY, closeDigest(t, 500, type(uint64).max));
        vm.prank(provider);
        escrow.settleClose(t, 0, 0, "");

        Terms memory next = openChannel("next");
        skip(1 hours);
        for (uint256 i = 0; i < 2; i++) {
            Terms memory tried = i == 0 ? t : next;
            bytes4 refusal = i == 0 ? IPodEscrow.NotOpen.selector : IPodEscrow.BadSignature.selector;
            vm.expectRevert(refusal);
            escrow.redeem(tried, DEPOSIT, oldVoucher);
            vm.expectRevert(refusal);
            escrow.claim(tried, 500, USAGE, oldReceipt);
            vm.expectRevert(refusal);
            vm.prank(payer);
            escrow.settleClose(tried, 500, type(uint64).max, oldConsent);
        }
        assertEq(creditOf(provider), 0, "provider's credit");
    }

    /// There, a claim while unlocking ended the wait: a provider that claimed in two steps lost the rest.
    function test_a_claim_does_not_end_the_unlock_delay() public {
        Terms memory t = openChannel("pod");
        skip(1 hours);
        requestClose(t);
        claim(t, 400_000);
        uint40 closeAt = channelOf(t).closeAt;
        assertEq(closeAt, block.timestamp + DELAY, "closeAt");
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.Locked.selector, closeAt));
        vm.prank(payer);
        escrow.finalizeClose(t);
        skip(DELAY - 1);
        claim(t, 1e6);
        assertEq(creditOf(provider), 1e6, "provider's credit");
    }
}
