// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ClaimItem, Terms} from "../src/EscrowTypes.sol";
import {IPodEscrow} from "../src/IPodEscrow.sol";
import {EscrowFixture} from "./support/EscrowFixture.sol";

contract ClaimTest is EscrowFixture {
    function test_a_receipt_credits_the_provider_whoever_brings_it() public {
        Terms memory t = openChannel("pod");
        skip(1 hours);
        vm.prank(stranger);
        vm.expectEmit();
        emit IPodEscrow.Claimed(idOf(t), provider, 400_000, 400_000, USAGE);
        claim(t, 400_000);
        claim(t, 1e6);
        assertEq(channelOf(t).claimed, 1e6, "claimed");
        assertEq(creditOf(provider), 1e6, "provider's credit");
        assertEq(creditOf(stranger), 0, "stranger's credit");
    }

    function test_a_receipt_is_paid_up_to_rate_times_time_and_not_one_unit_more(uint32 elapsed, uint96 rate) public {
        Terms memory t = termsOf("pod");
        t.ratePerHour = rate;
        token.mint(payer, type(uint128).max);
        vm.prank(payer);
        escrow.open(t, type(uint128).max);
        skip(elapsed);
        uint256 cap = uint256(rate) * elapsed / 3600;
        assertEq(escrow.accruedCap(t), cap, "cap");
        vm.assume(cap > 0 && cap < type(uint128).max);
        expectClaimRefused(t, uint128(cap + 1), abi.encodeWithSelector(IPodEscrow.OverCap.selector, cap));
        claim(t, uint128(cap));
        assertEq(channelOf(t).claimed, cap, "claimed");
    }

    function test_the_cap_of_the_highest_rate_over_the_longest_time_does_not_overflow() public {
        Terms memory t = termsOf("pod");
        t.ratePerHour = type(uint96).max;
        openWith(t);
        uint256 openedAt = block.timestamp;
        vm.warp(type(uint40).max);
        assertEq(escrow.accruedCap(t), uint256(type(uint96).max) * (type(uint40).max - openedAt) / 3600, "cap");
    }

    function test_nothing_accrues_in_the_block_of_opening_nor_before() public {
        Terms memory t = termsOf("pod");
        assertEq(escrow.accruedCap(t), 0, "cap before opening");
        openWith(t);
        expectClaimRefused(t, 1, abi.encodeWithSelector(IPodEscrow.OverCap.selector, 0));
    }

    function test_a_receipt_over_the_deposit_is_refused() public {
        Terms memory t = openChannel("pod");
        skip(100 hours);
        expectClaimRefused(t, DEPOSIT + 1, abi.encodeWithSelector(IPodEscrow.OverDeposit.selector, DEPOSIT));
        claim(t, DEPOSIT);
        assertEq(creditOf(provider), DEPOSIT, "provider's credit");
    }

    function test_a_receipt_that_brings_nothing_new_is_refused() public {
        Terms memory t = openChannel("pod");
        skip(1 hours);
        expectClaimRefused(t, 0, abi.encodeWithSelector(IPodEscrow.NothingNew.selector, 0));
        claim(t, 500);
        expectClaimRefused(t, 500, abi.encodeWithSelector(IPodEscrow.NothingNew.selector, 500));
        expectClaimRefused(t, 499, abi.encodeWithSelector(IPodEscrow.NothingNew.selector, 500));
    }

    function test_a_receipt_signed_by_anyone_but_the_meter_is_refused() public {
        Terms memory t = openChannel("pod");
        skip(1 hours);
        uint256[4] memory keys = [PROVIDER_KEY, SESSION_KEY, PAYER_KEY, STRANGER_KEY];
        for (uint256 i = 0; i < keys.length; i++) {
            bytes memory sig = signed(keys[i], receiptDigest(t, 500));
            vm.expectRevert(IPodEscrow.BadSignature.selector);
            vm.prank(provider);
            escrow.claim(t, 500, USAGE, sig);
        }
    }

    function test_a_receipt_altered_in_any_part_is_refused() public {
        Terms memory t = openChannel("pod");
        openChannel("other");
        skip(1 hours);
        bytes memory sig = receipt(t, 500);
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.claim(t, 501, USAGE, sig);
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.claim(t, 500, keccak256("other usage"), sig);
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.claim(termsOf("other"), 500, USAGE, sig);
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.claim(t, 500, USAGE, malleated(sig));
        for (uint256 length = 0; length < 65; length++) {
            vm.expectRevert(IPodEscrow.BadSignature.selector);
            escrow.claim(t, 500, USAGE, head(sig, length));
        }
    }

    function test_a_signature_for_another_purpose_chain_or_contract_is_no_receipt() public {
        Terms memory t = openChannel("pod");
        skip(1 hours);
        bytes memory asVoucher = signed(METER_KEY, voucherDigest(t, 500));
        bytes memory asClose = signed(METER_KEY, closeDigest(t, 500, uint64(uint256(USAGE))));
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.claim(t, 500, USAGE, asVoucher);
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.claim(t, 500, USAGE, asClose);

        bytes memory here = receipt(t, 500);
        IPodEscrow first = escrow;
        escrow = newEscrow();
        vm.prank(payer);
        token.approve(address(escrow), DEPOSIT);
        openWith(t);
        skip(1 hours);
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.claim(t, 500, USAGE, here);
        escrow = first;
        vm.chainId(10);
        vm.expectRevert(IPodEscrow.NotOpen.selector);
        escrow.claim(t, 500, USAGE, here);
    }

    function test_without_a_meter_only_the_provider_itself_claims_and_the_cap_holds() public {
        Terms memory t = termsOf("pod");
        t.meter = address(0);
        openWith(t);
        skip(1 hours);
        address[3] memory others = [payer, stranger, address(this)];
        for (uint256 i = 0; i < others.length; i++) {
            vm.expectRevert(IPodEscrow.NotAuthorized.selector);
            vm.prank(others[i]);
            escrow.claim(t, 500, USAGE, receipt(t, 500));
        }
        vm.startPrank(provider);
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.OverCap.selector, 1e6));
        escrow.claim(t, 1e6 + 1, USAGE, "");
        escrow.claim(t, 1e6, USAGE, "");
        assertEq(creditOf(provider), 1e6, "provider's credit");
    }

    function test_a_meter_cannot_be_a_contract_that_approves_everything() public {
        Terms memory t = termsOf("pod");
        t.meter = address(new YesMeter());
        openWith(t);
        skip(1 hours);
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.claim(t, 500, USAGE, receipt(t, 500));
    }

    function test_a_rate_of_zero_leaves_vouchers_only() public {
        Terms memory t = termsOf("pod");
        t.ratePerHour = 0;
        openWith(t);
        skip(1000 hours);
        expectClaimRefused(t, 1, abi.encodeWithSelector(IPodEscrow.OverCap.selector, 0));
        redeem(t, DEPOSIT);
    }

    function test_no_claim_on_a_channel_that_is_unknown_or_closed() public {
        Terms memory t = termsOf("pod");
        expectClaimRefused(t, 1, abi.encodeWithSelector(IPodEscrow.NotOpen.selector));
        openWith(t);
        skip(1 hours);
        vm.prank(provider);
        escrow.settleClose(t, 0, 0, "");
        expectClaimRefused(t, 1, abi.encodeWithSelector(IPodEscrow.NotOpen.selector));
    }

    function test_a_batch_claims_over_many_channels() public {
        ClaimItem[] memory items = new ClaimItem[](3);
        for (uint256 i = 0; i < 3; i++) {
            Terms memory t = openChannel(bytes32(i));
            items[i] = itemOf(t, uint128(100 * (i + 1)));
        }
        skip(1 hours);
        escrow.claimBatch(items);
        assertEq(creditOf(provider), 600, "provider's credit");
        assertEq(channelOf(termsOf(bytes32(uint256(2)))).claimed, 300, "claimed of the last");
    }

    function test_a_batch_passes_over_what_a_stranger_claimed_or_closed_first() public {
        Terms memory raced = openChannel("raced");
        Terms memory gone = openChannel("gone");
        Terms memory fresh = openChannel("fresh");
        skip(1 hours);
        ClaimItem[] memory items = new ClaimItem[](4);
        items[0] = itemOf(raced, 100);
        items[1] = itemOf(gone, 100);
        items[2] = itemOf(fresh, 100);
        items[3] = itemOf(fresh, 100);
        claim(raced, 100);
        requestClose(gone);
        skip(DELAY);
        escrow.finalizeClose(gone);
        escrow.claimBatch(items);
        assertEq(creditOf(provider), 200, "provider's credit");
        assertEq(channelOf(gone).claimed, 0, "claimed of the closed");
    }

    function test_a_batch_with_a_bad_signature_an_unknown_channel_or_too_much_claims_nothing() public {
        Terms memory good = openChannel("good");
        Terms memory t = openChannel("pod");
        skip(1 hours);
        ClaimItem[] memory items = new ClaimItem[](2);
        items[0] = itemOf(good, 100);
        items[1] = itemOf(t, 100);
        items[1].meterSig = signed(PROVIDER_KEY, receiptDigest(t, 100));
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.claimBatch(items);
        items[1] = itemOf(termsOf("unknown"), 100);
        vm.expectRevert(IPodEscrow.NotOpen.selector);
        escrow.claimBatch(items);
        items[1] = itemOf(t, 1e6 + 1);
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.OverCap.selector, 1e6));
        escrow.claimBatch(items);
        assertEq(creditOf(provider), 0, "provider's credit");
    }

    function itemOf(Terms memory t, uint128 cumulative) private view returns (ClaimItem memory) {
        return ClaimItem(t, cumulative, USAGE, receipt(t, cumulative));
    }

    function expectClaimRefused(Terms memory t, uint128 cumulative, bytes memory refusal) private {
        bytes memory sig = receipt(t, cumulative);
        vm.expectRevert(refusal);
        escrow.claim(t, cumulative, USAGE, sig);
    }

    function head(bytes memory whole, uint256 length) private pure returns (bytes memory part) {
        part = new bytes(length);
        for (uint256 i = 0; i < length; i++) {
            part[i] = whole[i];
        }
    }
}

contract YesMeter {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0x1626ba7e;
    }
}
