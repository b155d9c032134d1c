// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../src/EscrowTypes.sol";
import {IPodEscrow} from "../src/IPodEscrow.sol";
import {EscrowFixture} from "./support/EscrowFixture.sol";
import {YesToken} from "./support/Tokens.sol";

/// Deposits by signature: EIP-3009 authorisations, which anyone may bring, and EIP-2612 permits.
contract SignedFundingTest is EscrowFixture {
    function test_a_stranger_can_bring_the_payers_authorisation_to_open_and_top_up() public {
        Terms memory t = termsOf("pod");
        Signature memory first = authorisation(PAYER_KEY, t, DEPOSIT, "first");
        Signature memory second = authorisation(PAYER_KEY, t, 7, "second");
        vm.startPrank(stranger);
        vm.expectEmit();
        emit IPodEscrow.ChannelOpened(idOf(t), payer, provider, t, DEPOSIT);
        deposit(t, DEPOSIT, "first", first);
        vm.expectEmit();
        emit IPodEscrow.ToppedUp(idOf(t), payer, 7, DEPOSIT + 7);
        deposit(t, 7, "second", second);
        assertEq(token.balanceOf(address(escrow)), DEPOSIT + 7, "escrow's balance");
        assertEq(token.balanceOf(stranger), 0, "stranger's balance");
    }

    function test_an_authorisation_cannot_be_used_twice_nor_for_other_terms_nor_for_another_sum() public {
        Terms memory t = termsOf("pod");
        Signature memory sig = authorisation(PAYER_KEY, t, DEPOSIT, "salt");
        Terms memory other = termsOf("pod");
        other.provider = stranger;
        bytes memory refusal = abi.encodeWithSignature("ERC3009InvalidSignature()");
        vm.expectRevert(refusal);
        deposit(other, DEPOSIT, "salt", sig);
        vm.expectRevert(refusal);
        deposit(t, DEPOSIT - 1, "salt", sig);
        vm.expectRevert(refusal);
        deposit(t, DEPOSIT, "other salt", sig);
        deposit(t, DEPOSIT, "salt", sig);
        vm.expectRevert();
        deposit(t, DEPOSIT, "salt", sig);
    }

    function test_an_authorisation_is_refused_for_a_channel_that_is_closing_or_closed() public {
        Terms memory t = openChannel("pod");
        Signature memory sig = authorisation(PAYER_KEY, t, 7, "salt");
        requestClose(t);
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.Locked.selector, uint40(block.timestamp) + DELAY));
        deposit(t, 7, "salt", sig);
        skip(DELAY);
        escrow.finalizeClose(t);
        vm.expectRevert(IPodEscrow.NotOpen.selector);
        deposit(t, 7, "salt", sig);
    }

    function test_the_checks_of_open_hold_for_an_authorisation() public {
        Terms memory t = termsOf("pod");
        Signature memory sig = authorisation(PAYER_KEY, t, 0, "salt");
        vm.expectRevert(IPodEscrow.ZeroAmount.selector);
        deposit(t, 0, "salt", sig);
        t.unlockDelay = 0;
        sig = authorisation(PAYER_KEY, t, DEPOSIT, "salt");
        vm.expectRevert(IPodEscrow.BadTerms.selector);
        deposit(t, DEPOSIT, "salt", sig);
    }

    function test_a_permit_and_open_fit_in_one_call_and_a_permit_used_by_another_does_no_harm() public {
        address saver = vm.addr(77);
        token.mint(saver, 2 * DEPOSIT);
        Terms memory t = termsOf("pod");
        t.payer = saver;
        Signature memory sig = permitOf(77, DEPOSIT);
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(escrow.selfPermit, (address(token), DEPOSIT, type(uint256).max, sig.v, sig.r, sig.s));
        calls[1] = abi.encodeCall(escrow.open, (t, DEPOSIT));
        token.permit(saver, address(escrow), DEPOSIT, type(uint256).max, sig.v, sig.r, sig.s);
        vm.prank(saver);
        multicall(calls);
        assertEq(channelOf(t).deposited, DEPOSIT, "deposited");

        sig = permitOf(77, DEPOSIT);
        t.podId = "next";
        calls[0] = abi.encodeCall(escrow.selfPermit, (address(token), DEPOSIT, type(uint256).max, sig.v, sig.r, sig.s));
        calls[1] = abi.encodeCall(escrow.open, (t, DEPOSIT));
        vm.prank(saver);
        multicall(calls);
        assertEq(channelOf(t).deposited, DEPOSIT, "deposited by permit");
    }

    function test_a_permit_counts_only_for_the_caller() public {
        Signature memory sig = permitOf(PAYER_KEY, 5);
        vm.prank(payer);
        token.approve(address(escrow), 0);
        vm.prank(stranger);
        escrow.selfPermit(address(token), 5, type(uint256).max, sig.v, sig.r, sig.s);
        assertEq(token.allowance(payer, address(escrow)), 0, "payer's allowance");
        assertEq(token.allowance(stranger, address(escrow)), 0, "stranger's allowance");
    }

    function test_an_authorisation_that_moves_nothing_is_refused() public {
        Terms memory t = termsOf("pod");
        t.token = address(new YesToken());
        vm.expectRevert(IPodEscrow.TokenShort.selector);
        escrow.depositWithAuthorization(t, DEPOSIT, 0, type(uint48).max, "salt", 27, 0, 0);
    }

    function deposit(Terms memory t, uint128 amount, bytes32 salt, Signature memory sig) private {
        escrow.depositWithAuthorization(t, amount, 0, type(uint40).max, salt, sig.v, sig.r, sig.s);
    }

    function permitOf(uint256 key, uint128 amount) private view returns (Signature memory) {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        address owner = vm.addr(key);
        return signToken(
            key, keccak256(abi.encode(typeHash, owner, address(escrow), amount, token.nonces(owner), type(uint256).max))
        );
    }
}
