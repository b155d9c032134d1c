// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../src/EscrowTypes.sol";
import {IPodEscrow} from "../src/IPodEscrow.sol";
import {EscrowFixture} from "./support/EscrowFixture.sol";
import {BlockingToken, CallingToken} from "./support/Tokens.sol";

contract CreditTest is EscrowFixture {
    function test_credit_is_withdrawn_in_part_and_in_whole_to_any_address() public {
        earn(1_000);
        vm.startPrank(provider);
        vm.expectEmit();
        emit IPodEscrow.Withdrawn(provider, address(token), stranger, 300);
        escrow.withdraw(address(token), stranger, 300);
        assertEq(token.balanceOf(stranger), 300, "stranger's balance");
        assertEq(creditOf(provider), 700, "credit left");
        escrow.withdraw(address(token), provider, 0);
        assertEq(token.balanceOf(provider), 700, "provider's balance");
        assertEq(creditOf(provider), 0, "credit at the end");
    }

    function test_nobody_withdraws_more_than_its_credit(uint128 earned, uint256 wanted) public {
        earned = uint128(bound(earned, 1, DEPOSIT));
        wanted = bound(wanted, uint256(earned) + 1, type(uint256).max);
        earn(earned);
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.OverCredit.selector, earned));
        vm.prank(provider);
        escrow.withdraw(address(token), provider, wanted);
    }

    function test_without_credit_there_is_nothing_to_withdraw() public {
        earn(1_000);
        vm.startPrank(stranger);
        vm.expectRevert(IPodEscrow.ZeroAmount.selector);
        escrow.withdraw(address(token), stranger, 0);
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.OverCredit.selector, 0));
        escrow.withdraw(address(token), stranger, 1);
    }

    function test_anyone_can_send_an_account_its_own_credit_and_only_there() public {
        earn(1_000);
        vm.startPrank(stranger);
        vm.expectEmit();
        emit IPodEscrow.Withdrawn(provider, address(token), provider, 1_000);
        escrow.withdrawFor(provider, address(token));
        assertEq(token.balanceOf(provider), 1_000, "provider's balance");
        assertEq(token.balanceOf(stranger), 0, "stranger's balance");
        assertEq(creditOf(provider), 0, "credit at the end");
        vm.expectRevert(IPodEscrow.ZeroAmount.selector);
        escrow.withdrawFor(provider, address(token));
    }

    function test_credit_of_one_token_is_none_of_another() public {
        earn(1_000);
        address other = address(new BlockingToken());
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.OverCredit.selector, 0));
        vm.prank(provider);
        escrow.withdraw(other, provider, 1);
    }

    function test_a_channel_opens_from_credit_without_moving_the_token() public {
        refund();
        Terms memory t = termsOf("next");
        uint256 balance = token.balanceOf(address(escrow));
        vm.startPrank(payer);
        vm.expectEmit();
        emit IPodEscrow.ChannelOpened(idOf(t), payer, provider, t, 400);
        escrow.openFromCredit(t, 400);
        assertEq(channelOf(t).deposited, 400, "deposited");
        assertEq(creditOf(payer), DEPOSIT - 400, "credit left");
        escrow.openFromCredit(termsOf("rest"), 0);
        assertEq(channelOf(termsOf("rest")).deposited, DEPOSIT - 400, "deposited with all of the rest");
        assertEq(creditOf(payer), 0, "credit at the end");
        assertEq(token.balanceOf(address(escrow)), balance, "escrow's balance");
    }

    function test_only_the_payer_spends_its_credit_and_no_more_than_it_has() public {
        refund();
        Terms memory t = termsOf("next");
        vm.expectRevert(IPodEscrow.NotAuthorized.selector);
        vm.prank(provider);
        escrow.openFromCredit(t, 1);
        vm.startPrank(payer);
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.OverCredit.selector, DEPOSIT));
        escrow.openFromCredit(t, DEPOSIT + 1);
        vm.expectRevert(IPodEscrow.AlreadyOpen.selector);
        escrow.openFromCredit(termsOf("refunded"), 1);
        t.unlockDelay = 0;
        vm.expectRevert(IPodEscrow.BadTerms.selector);
        escrow.openFromCredit(t, 1);
        escrow.withdraw(address(token), payer, 0);
        vm.expectRevert(IPodEscrow.ZeroAmount.selector);
        escrow.openFromCredit(termsOf("next"), 0);
    }

    function test_a_deposit_moves_to_new_terms_in_one_call() public {
        Terms memory old = openChannel("old");
        Terms memory next = termsOf("next");
        next.provider = stranger;
        skip(1 hours);
        bytes memory consent = signed(PROVIDER_KEY, closeDigest(old, 1e6, type(uint64).max));
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(escrow.settleClose, (old, 1e6, type(uint64).max, consent));
        calls[1] = abi.encodeCall(escrow.openFromCredit, (next, 0));
        vm.prank(payer);
        multicall(calls);
        assertTrue(channelOf(old).closed, "old closed");
        assertEq(creditOf(provider), 1e6, "provider's credit");
        assertEq(channelOf(next).deposited, DEPOSIT - 1e6, "deposited in the new");
    }

    function test_a_deposit_moves_to_new_terms_without_the_old_provider_once_the_delay_is_over() public {
        Terms memory old = openChannel("old");
        Terms memory next = termsOf("next");
        next.provider = stranger;
        skip(1 hours);
        requestClose(old);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(escrow.finalizeClose, (old));
        calls[1] = abi.encodeCall(escrow.openFromCredit, (next, 0));
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.Locked.selector, block.timestamp + DELAY));
        vm.prank(payer);
        multicall(calls);
        claim(old, 1e6);
        skip(DELAY);
        vm.prank(payer);
        multicall(calls);
        assertEq(creditOf(provider), 1e6, "provider's credit");
        assertEq(channelOf(next).deposited, DEPOSIT - 1e6, "deposited in the new");
    }

    function test_a_multicall_gives_its_caller_no_other_name() public {
        Terms memory t = openChannel("pod");
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(escrow.requestClose, (t));
        vm.expectRevert(IPodEscrow.NotAuthorized.selector);
        vm.prank(stranger);
        multicall(calls);
        calls[0] = abi.encodeCall(escrow.settleClose, (t, 0, 0, ""));
        vm.expectRevert(IPodEscrow.NotAuthorized.selector);
        vm.prank(stranger);
        multicall(calls);
    }

    function test_one_failing_call_undoes_a_multicall() public {
        Terms memory t = openChannel("pod");
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(escrow.requestClose, (t));
        calls[1] = calls[0];
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.Locked.selector, uint40(block.timestamp) + DELAY));
        vm.prank(payer);
        multicall(calls);
        assertEq(channelOf(t).closeAt, 0, "closeAt");
    }

    function test_a_blocked_payer_does_not_keep_the_provider_from_its_money_nor_the_reverse() public {
        (BlockingToken blocking, Terms memory t) = openBlocking();
        blocking.setBlocked(payer, true);
        redeem(t, 400);
        vm.prank(provider);
        escrow.settleClose(t, 400, 0, "");
        vm.prank(provider);
        escrow.withdraw(address(blocking), provider, 0);
        assertEq(blocking.balanceOf(provider), 400, "provider's balance");
        vm.expectRevert("blocked");
        vm.prank(payer);
        escrow.withdraw(address(blocking), payer, 0);
        assertEq(escrow.credit(payer, address(blocking)), DEPOSIT - 400, "payer's credit is kept");

        (blocking, t) = openBlocking();
        blocking.setBlocked(provider, true);
        redeem(t, 400);
        requestClose(t);
        skip(DELAY);
        escrow.finalizeClose(t);
        vm.prank(payer);
        escrow.withdraw(address(blocking), payer, 0);
        assertEq(blocking.balanceOf(payer), DEPOSIT - 400, "payer's balance");
        assertEq(escrow.credit(provider, address(blocking)), 400, "provider's credit is kept");
    }

    function test_a_token_that_calls_back_enters_no_function_that_moves_tokens() public {
        CallingToken calling = new CallingToken();
        calling.mint(payer, 10 * DEPOSIT);
        calling.mint(address(calling), DEPOSIT);
        Terms memory t = termsOf("outer");
        t.token = address(calling);
        Terms memory inner = termsOf("inner");
        inner.token = address(calling);
        inner.payer = address(calling);
        bytes[5] memory entries = [
            abi.encodeCall(escrow.open, (inner, DEPOSIT)),
            abi.encodeCall(escrow.topUp, (inner, DEPOSIT)),
            abi.encodeCall(escrow.depositWithAuthorization, (inner, DEPOSIT, 0, type(uint40).max, "salt", 27, 0, 0)),
            abi.encodeCall(escrow.withdraw, (address(calling), stranger, 0)),
            abi.encodeCall(escrow.withdrawFor, (provider, address(calling)))
        ];
        bytes memory refusal = abi.encodeWithSignature("ReentrancyGuardReentrantCall()");
        vm.prank(payer);
        calling.approve(address(escrow), type(uint256).max);
        for (uint256 i = 0; i < entries.length; i++) {
            t.podId = bytes32(i);
            calling.arm(address(escrow), entries[i]);
            openWith(t);
            assertTrue(!calling.ok(), "re-entry succeeded");
            assertEq(keccak256(calling.answer()), keccak256(refusal), "refusal");
        }
        redeem(t, 400);
        calling.arm(address(escrow), entries[3]);
        vm.prank(provider);
        escrow.withdraw(address(calling), provider, 0);
        assertEq(keccak256(calling.answer()), keccak256(refusal), "refusal inside of withdraw");
    }

    function test_a_call_back_into_the_unguarded_functions_gains_nothing() public {
        CallingToken calling = new CallingToken();
        calling.mint(payer, DEPOSIT);
        Terms memory t = termsOf("pod");
        t.token = address(calling);
        vm.prank(payer);
        calling.approve(address(escrow), type(uint256).max);
        calling.arm(address(escrow), abi.encodeCall(escrow.redeem, (t, DEPOSIT, voucher(t, DEPOSIT))));
        openWith(t);
        assertTrue(calling.ok(), "the voucher counts as soon as the channel does");
        assertEq(escrow.credit(provider, address(calling)), DEPOSIT, "provider's credit");
        assertEq(calling.balanceOf(address(escrow)), DEPOSIT, "escrow's balance");
    }

    function earn(uint128 amount) private {
        redeem(openChannel("earned"), amount);
    }

    function refund() private {
        Terms memory t = openChannel("refunded");
        vm.prank(provider);
        escrow.settleClose(t, 0, 0, "");
    }

    function openBlocking() private returns (BlockingToken blocking, Terms memory t) {
        blocking = new BlockingToken();
        blocking.mint(payer, DEPOSIT);
        t = termsOf("pod");
        t.token = address(blocking);
        vm.prank(payer);
        blocking.approve(address(escrow), DEPOSIT);
        openWith(t);
    }
}
