// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Channel, Terms} from "../src/EscrowTypes.sol";
import {IPodEscrow} from "../src/IPodEscrow.sol";
import {EscrowFixture} from "./support/EscrowFixture.sol";
import {Wallet} from "./support/Wallet.sol";

contract CloseTest is EscrowFixture {
    function test_a_close_request_sets_the_times_once() public {
        Terms memory t = openChannel("pod");
        skip(1 hours);
        uint40 closeAt = uint40(block.timestamp) + DELAY;
        vm.expectEmit();
        emit IPodEscrow.CloseRequested(idOf(t), provider, closeAt);
        requestClose(t);
        assertEq(channelOf(t).closeAt, closeAt, "closeAt");
        assertEq(channelOf(t).accrualEnd, block.timestamp + 5 minutes, "accrualEnd");
        skip(10);
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.Locked.selector, closeAt));
        requestClose(t);
        assertEq(channelOf(t).closeAt, closeAt, "closeAt afterwards");
    }

    function test_only_the_payer_requests_a_close_and_only_of_an_open_channel() public {
        Terms memory t = openChannel("pod");
        address[3] memory others = [provider, stranger, vm.addr(SESSION_KEY)];
        for (uint256 i = 0; i < others.length; i++) {
            vm.expectRevert(IPodEscrow.NotAuthorized.selector);
            vm.prank(others[i]);
            escrow.requestClose(t);
        }
        vm.prank(provider);
        escrow.settleClose(t, 0, 0, "");
        vm.expectRevert(IPodEscrow.NotOpen.selector);
        requestClose(t);
        vm.expectRevert(IPodEscrow.NotOpen.selector);
        requestClose(termsOf("unknown"));
    }

    function test_the_cap_stops_growing_5_minutes_after_the_request() public {
        Terms memory t = openChannel("pod");
        skip(1 hours);
        requestClose(t);
        uint256 frozen = uint256(RATE) * (1 hours + 5 minutes) / 1 hours;
        skip(5 minutes - 1);
        assertTrue(escrow.accruedCap(t) < frozen, "cap still grows in the grace");
        skip(1);
        assertEq(escrow.accruedCap(t), frozen, "cap at the end of the grace");
        skip(DELAY);
        assertEq(escrow.accruedCap(t), frozen, "cap long after");
        bytes memory sig = receipt(t, uint128(frozen + 1));
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.OverCap.selector, frozen));
        escrow.claim(t, uint128(frozen + 1), USAGE, sig);
        claim(t, uint128(frozen));
        assertEq(creditOf(provider), frozen, "provider's credit");
    }

    function test_the_provider_claims_in_steps_during_the_whole_delay_and_moves_it_not() public {
        Terms memory t = openChannel("pod");
        skip(2 hours);
        requestClose(t);
        uint40 closeAt = channelOf(t).closeAt;
        claim(t, 100);
        skip(DELAY / 2);
        redeem(t, 3e6);
        vm.warp(closeAt - 1);
        redeem(t, 4e6);
        assertEq(channelOf(t).closeAt, closeAt, "closeAt");
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.Locked.selector, closeAt));
        escrow.finalizeClose(t);
        vm.warp(closeAt);
        redeem(t, 5e6);
        escrow.finalizeClose(t);
        assertEq(creditOf(provider), 5e6, "provider's credit");
        assertEq(creditOf(payer), DEPOSIT - 5e6, "payer's credit");
    }

    function test_anyone_finalises_after_the_delay_and_only_the_payer_is_refunded() public {
        Terms memory t = openChannel("pod");
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.Locked.selector, 0));
        escrow.finalizeClose(t);
        requestClose(t);
        skip(DELAY);
        vm.prank(stranger);
        vm.expectEmit();
        emit IPodEscrow.ChannelClosed(idOf(t), payer, DEPOSIT);
        escrow.finalizeClose(t);
        assertTrue(channelOf(t).closed, "closed");
        assertEq(creditOf(payer), DEPOSIT, "payer's credit");
        assertEq(creditOf(stranger), 0, "stranger's credit");
        vm.expectRevert(IPodEscrow.NotOpen.selector);
        escrow.finalizeClose(t);
    }

    function test_a_provider_lets_go_at_once_and_gains_nothing() public {
        Terms memory t = openChannel("pod");
        skip(1 hours);
        claim(t, 500);
        vm.startPrank(provider);
        vm.expectRevert(IPodEscrow.NotAuthorized.selector);
        escrow.settleClose(t, 501, type(uint64).max, "");
        bytes memory own = signed(PROVIDER_KEY, closeDigest(t, DEPOSIT, type(uint64).max));
        vm.expectRevert(IPodEscrow.NotAuthorized.selector);
        escrow.settleClose(t, DEPOSIT, type(uint64).max, own);
        escrow.settleClose(t, 500, 0, "");
        assertEq(creditOf(provider), 500, "provider's credit");
        assertEq(creditOf(payer), DEPOSIT - 500, "payer's credit");
    }

    function test_the_payer_closes_at_once_with_the_providers_signature() public {
        Terms memory t = openChannel("pod");
        uint64 deadline = uint64(block.timestamp + 60);
        bytes memory sig = signed(PROVIDER_KEY, closeDigest(t, 900, deadline));
        skip(60);
        vm.startPrank(payer);
        vm.expectEmit();
        emit IPodEscrow.Claimed(idOf(t), provider, 900, 900, bytes32(0));
        vm.expectEmit();
        emit IPodEscrow.ChannelClosed(idOf(t), payer, DEPOSIT - 900);
        escrow.settleClose(t, 900, deadline, sig);
        assertEq(creditOf(provider), 900, "provider's credit");
        assertEq(creditOf(payer), DEPOSIT - 900, "payer's credit");
        vm.expectRevert(IPodEscrow.NotOpen.selector);
        escrow.settleClose(t, 900, deadline, sig);
    }

    function test_the_providers_signature_is_useless_in_any_other_hand() public {
        Terms memory t = openChannel("pod");
        bytes memory sig = signed(PROVIDER_KEY, closeDigest(t, DEPOSIT, type(uint64).max));
        address[2] memory others = [stranger, vm.addr(SESSION_KEY)];
        for (uint256 i = 0; i < others.length; i++) {
            vm.expectRevert(IPodEscrow.NotAuthorized.selector);
            vm.prank(others[i]);
            escrow.settleClose(t, DEPOSIT, type(uint64).max, sig);
        }
    }

    function test_a_closing_signature_that_is_late_altered_or_not_the_providers_is_refused() public {
        Terms memory t = openChannel("pod");
        openChannel("other");
        uint64 deadline = uint64(block.timestamp + 60);
        bytes memory sig = signed(PROVIDER_KEY, closeDigest(t, 900, deadline));
        expectSettleRefused(t, 899, deadline, sig, IPodEscrow.BadSignature.selector);
        expectSettleRefused(t, 900, deadline + 1, sig, IPodEscrow.BadSignature.selector);
        expectSettleRefused(termsOf("other"), 900, deadline, sig, IPodEscrow.BadSignature.selector);
        expectSettleRefused(t, 900, deadline, malleated(sig), IPodEscrow.BadSignature.selector);
        expectSettleRefused(t, 900, deadline, "", IPodEscrow.BadSignature.selector);
        bytes memory byPayer = signed(PAYER_KEY, closeDigest(t, 900, deadline));
        expectSettleRefused(t, 900, deadline, byPayer, IPodEscrow.BadSignature.selector);
        bytes memory asVoucher = signed(PROVIDER_KEY, voucherDigest(t, 900));
        expectSettleRefused(t, 900, deadline, asVoucher, IPodEscrow.BadSignature.selector);
        skip(61);
        expectSettleRefused(t, 900, deadline, sig, IPodEscrow.Expired.selector);
    }

    function test_an_agreed_sum_over_the_deposit_is_refused_and_one_under_the_claims_takes_nothing_back() public {
        Terms memory t = openChannel("pod");
        uint64 deadline = type(uint64).max;
        bytes memory tooMuch = signed(PROVIDER_KEY, closeDigest(t, DEPOSIT + 1, deadline));
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.OverDeposit.selector, DEPOSIT));
        vm.prank(payer);
        escrow.settleClose(t, DEPOSIT + 1, deadline, tooMuch);

        bytes memory less = signed(PROVIDER_KEY, closeDigest(t, 100, deadline));
        redeem(t, 500);
        vm.prank(payer);
        escrow.settleClose(t, 100, deadline, less);
        assertEq(channelOf(t).claimed, 500, "claimed");
        assertEq(creditOf(provider), 500, "provider's credit");
        assertEq(creditOf(payer), DEPOSIT - 500, "payer's credit");
    }

    function test_a_provider_that_is_a_contract_consents_by_erc1271() public {
        Terms memory t = termsOf("pod");
        t.provider = address(new Wallet(provider));
        openWith(t);
        bytes memory sig = signed(PROVIDER_KEY, closeDigest(t, 900, type(uint64).max));
        vm.prank(payer);
        escrow.settleClose(t, 900, type(uint64).max, sig);
        assertEq(creditOf(t.provider), 900, "provider's credit");
    }

    function test_a_close_in_progress_can_be_settled_at_once() public {
        Terms memory t = openChannel("pod");
        requestClose(t);
        vm.prank(provider);
        escrow.settleClose(t, 0, 0, "");
        assertEq(creditOf(payer), DEPOSIT, "payer's credit");
        skip(DELAY);
        vm.expectRevert(IPodEscrow.NotOpen.selector);
        escrow.finalizeClose(t);
    }

    function test_a_channel_claimed_to_the_end_closes_with_no_refund() public {
        Terms memory t = openChannel("pod");
        redeem(t, DEPOSIT);
        vm.prank(provider);
        vm.expectEmit();
        emit IPodEscrow.ChannelClosed(idOf(t), payer, 0);
        escrow.settleClose(t, DEPOSIT, 0, "");
        assertEq(creditOf(payer), 0, "payer's credit");
    }

    function test_no_refund_before_the_delay_is_over(uint32 delay, uint32 waited) public {
        Terms memory t = termsOf("pod");
        t.unlockDelay = uint32(bound(delay, 15 minutes, 30 days));
        openWith(t);
        requestClose(t);
        uint40 closeAt = channelOf(t).closeAt;
        skip(bound(waited, 0, t.unlockDelay - 1));
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.Locked.selector, closeAt));
        vm.prank(payer);
        escrow.finalizeClose(t);
        vm.warp(closeAt);
        escrow.finalizeClose(t);
        assertEq(creditOf(payer), DEPOSIT, "payer's credit");
    }

    function expectSettleRefused(Terms memory t, uint128 cumulative, uint64 deadline, bytes memory sig, bytes4 refusal)
        private
    {
        vm.expectRevert(refusal);
        vm.prank(payer);
        escrow.settleClose(t, cumulative, deadline, sig);
    }
}
