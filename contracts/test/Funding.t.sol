// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Channel, Terms} from "../src/EscrowTypes.sol";
import {IPodEscrow} from "../src/IPodEscrow.sol";
import {EscrowFixture} from "./support/EscrowFixture.sol";
import {FeeToken, SilentToken, YesToken} from "./support/Tokens.sol";

contract FundingTest is EscrowFixture {
    function test_open_takes_the_deposit_and_starts_the_clock() public {
        Terms memory t = termsOf("pod");
        vm.expectEmit();
        emit IPodEscrow.ChannelOpened(idOf(t), payer, provider, t, DEPOSIT);
        openWith(t);
        Channel memory c = channelOf(t);
        assertEq(c.deposited, DEPOSIT, "deposited");
        assertEq(c.claimed, 0, "claimed");
        assertEq(c.openedAt, block.timestamp, "openedAt");
        assertEq(c.accrualEnd, 0, "accrualEnd");
        assertEq(c.closeAt, 0, "closeAt");
        assertTrue(!c.closed, "open");
        assertEq(token.balanceOf(address(escrow)), DEPOSIT, "escrow's balance");
    }

    function test_the_channel_id_is_the_typed_data_hash_of_the_terms() public {
        Terms memory t = termsOf("pod");
        assertEq(escrow.channelIdOf(t), idOf(t), "id");
        vm.chainId(10);
        assertEq(escrow.channelIdOf(t), idOf(t), "id on another chain");
    }

    function test_every_field_of_the_terms_changes_the_channel_id(bytes32 seed) public view {
        Terms memory t = termsOf(seed);
        bytes32 id = escrow.channelIdOf(t);
        for (uint256 field = 0; field < 8; field++) {
            Terms memory other = termsOf(seed);
            if (field == 0) other.payer = stranger;
            if (field == 1) other.voucherSigner = stranger;
            if (field == 2) other.provider = stranger;
            if (field == 3) other.meter = stranger;
            if (field == 4) other.token = stranger;
            if (field == 5) other.ratePerHour++;
            if (field == 6) other.unlockDelay++;
            if (field == 7) other.podId = ~other.podId;
            assertTrue(escrow.channelIdOf(other) != id, "id of other terms");
        }
    }

    function test_only_the_payer_can_open() public {
        Terms memory t = termsOf("pod");
        vm.expectRevert(IPodEscrow.NotAuthorized.selector);
        vm.prank(provider);
        escrow.open(t, DEPOSIT);
    }

    function test_an_open_or_closed_id_cannot_be_opened() public {
        Terms memory t = openChannel("pod");
        vm.expectRevert(IPodEscrow.AlreadyOpen.selector);
        openWith(t);
        vm.prank(provider);
        escrow.settleClose(t, 0, 0, "");
        vm.expectRevert(IPodEscrow.AlreadyOpen.selector);
        openWith(t);
    }

    function test_an_amount_of_zero_is_refused() public {
        Terms memory t = termsOf("pod");
        vm.startPrank(payer);
        vm.expectRevert(IPodEscrow.ZeroAmount.selector);
        escrow.open(t, 0);
        escrow.open(t, 1);
        vm.expectRevert(IPodEscrow.ZeroAmount.selector);
        escrow.topUp(t, 0);
    }

    function test_unlock_delays_from_15_minutes_to_30_days_are_accepted() public {
        Terms memory t = termsOf("shortest");
        t.unlockDelay = 15 minutes;
        openWith(t);
        t = termsOf("longest");
        t.unlockDelay = 30 days;
        openWith(t);
        t.unlockDelay = 15 minutes - 1;
        expectBadTerms(t);
        t.unlockDelay = 30 days + 1;
        expectBadTerms(t);
        t.unlockDelay = 0;
        expectBadTerms(t);
    }

    function test_terms_without_payer_provider_or_token_are_refused() public {
        Terms memory t = termsOf("pod");
        t.provider = address(0);
        expectBadTerms(t);
        t = termsOf("pod");
        t.token = address(0);
        expectBadTerms(t);
        t = termsOf("pod");
        t.payer = address(0);
        expectBadTerms(t);
    }

    function test_anyone_can_top_up_an_open_channel() public {
        Terms memory t = openChannel("pod");
        token.mint(stranger, 5);
        vm.startPrank(stranger);
        token.approve(address(escrow), 5);
        vm.expectEmit();
        emit IPodEscrow.ToppedUp(idOf(t), stranger, 5, DEPOSIT + 5);
        escrow.topUp(t, 5);
        assertEq(channelOf(t).deposited, DEPOSIT + 5, "deposited");
        assertEq(token.balanceOf(address(escrow)), DEPOSIT + 5, "escrow's balance");
    }

    function test_a_channel_that_is_unknown_closing_or_closed_cannot_be_topped_up() public {
        Terms memory t = termsOf("pod");
        expectTopUpRefused(t, abi.encodeWithSelector(IPodEscrow.NotOpen.selector));
        openWith(t);
        requestClose(t);
        expectTopUpRefused(t, abi.encodeWithSelector(IPodEscrow.Locked.selector, uint40(block.timestamp) + DELAY));
        vm.prank(provider);
        escrow.settleClose(t, 0, 0, "");
        expectTopUpRefused(t, abi.encodeWithSelector(IPodEscrow.NotOpen.selector));
    }

    function test_a_deposit_past_uint128_is_refused() public {
        Terms memory t = termsOf("pod");
        token.mint(payer, type(uint128).max);
        vm.startPrank(payer);
        escrow.open(t, type(uint128).max);
        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        escrow.topUp(t, 1);
    }

    function test_a_token_that_delivers_less_than_it_was_told_is_refused() public {
        FeeToken fee = new FeeToken();
        fee.mint(payer, 1_000);
        Terms memory t = termsOf("pod");
        t.token = address(fee);
        vm.startPrank(payer);
        fee.approve(address(escrow), 1_000);
        vm.expectRevert(IPodEscrow.TokenShort.selector);
        escrow.open(t, 1_000);
    }

    function test_a_token_that_returns_nothing_works() public {
        SilentToken silent = new SilentToken();
        silent.mint(payer, DEPOSIT);
        Terms memory t = termsOf("pod");
        t.token = address(silent);
        openWith(t);
        vm.startPrank(provider);
        escrow.settleClose(t, 0, 0, "");
        vm.startPrank(payer);
        escrow.withdraw(address(silent), payer, 0);
        assertEq(silent.balanceOf(payer), DEPOSIT, "payer's balance");
    }

    function test_a_token_that_accepts_every_call_and_moves_nothing_is_refused() public {
        Terms memory t = termsOf("pod");
        t.token = address(new YesToken());
        vm.expectRevert(IPodEscrow.TokenShort.selector);
        openWith(t);
    }

    function expectBadTerms(Terms memory t) private {
        vm.expectRevert(IPodEscrow.BadTerms.selector);
        openWith(t);
    }

    function expectTopUpRefused(Terms memory t, bytes memory refusal) private {
        vm.expectRevert(refusal);
        vm.prank(payer);
        escrow.topUp(t, 1);
    }
}
