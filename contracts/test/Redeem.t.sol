// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Terms} from "../src/EscrowTypes.sol";
import {IPodEscrow} from "../src/IPodEscrow.sol";
import {EscrowFixture} from "./support/EscrowFixture.sol";
import {RefusingAccount, Wallet} from "./support/Wallet.sol";

contract RedeemTest is EscrowFixture {
    function test_a_voucher_lifts_the_cap_up_to_the_deposit() public {
        Terms memory t = openChannel("pod");
        vm.prank(stranger);
        vm.expectEmit();
        emit IPodEscrow.Claimed(idOf(t), provider, 700, 700, bytes32(0));
        redeem(t, 700);
        redeem(t, DEPOSIT);
        assertEq(creditOf(provider), DEPOSIT, "provider's credit");
    }

    function test_a_voucher_over_the_deposit_waits_for_a_top_up() public {
        Terms memory t = openChannel("pod");
        expectRedeemRefused(t, DEPOSIT + 1, abi.encodeWithSelector(IPodEscrow.OverDeposit.selector, DEPOSIT));
        vm.prank(payer);
        escrow.topUp(t, 1);
        redeem(t, DEPOSIT + 1);
        assertEq(creditOf(provider), DEPOSIT + 1, "provider's credit");
    }

    function test_receipts_and_vouchers_share_one_counter() public {
        Terms memory t = openChannel("pod");
        skip(1 hours);
        redeem(t, 600_000);
        vm.expectRevert(abi.encodeWithSelector(IPodEscrow.NothingNew.selector, 600_000));
        claim(t, 600_000);
        claim(t, 1e6);
        expectRedeemRefused(t, 1e6, abi.encodeWithSelector(IPodEscrow.NothingNew.selector, 1e6));
        redeem(t, 1e6 + 1);
        assertEq(creditOf(provider), 1e6 + 1, "provider's credit");
    }

    function test_a_voucher_of_anyone_but_its_signer_is_refused() public {
        Terms memory t = openChannel("pod");
        uint256[4] memory keys = [PROVIDER_KEY, METER_KEY, PAYER_KEY, STRANGER_KEY];
        for (uint256 i = 0; i < keys.length; i++) {
            bytes memory sig = signed(keys[i], voucherDigest(t, 500));
            vm.expectRevert(IPodEscrow.BadSignature.selector);
            vm.prank(provider);
            escrow.redeem(t, 500, sig);
        }
    }

    function test_a_voucher_altered_or_of_another_kind_or_channel_is_refused() public {
        Terms memory t = openChannel("pod");
        openChannel("other");
        bytes memory sig = voucher(t, 500);
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.redeem(t, 501, sig);
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.redeem(termsOf("other"), 500, sig);
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.redeem(t, 500, malleated(sig));
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.redeem(t, 500, "");
        bytes memory asReceipt = signed(SESSION_KEY, receiptDigest(t, 500));
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.redeem(t, 500, asReceipt);
    }

    function test_without_a_voucher_signer_the_payer_signs() public {
        Terms memory t = termsOf("pod");
        t.voucherSigner = address(0);
        openWith(t);
        bytes memory bySession = voucher(t, 500);
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.redeem(t, 500, bySession);
        escrow.redeem(t, 500, signed(PAYER_KEY, voucherDigest(t, 500)));
        assertEq(creditOf(provider), 500, "provider's credit");
    }

    function test_a_signature_that_recovers_to_nobody_is_not_the_payers() public {
        Terms memory t = openChannel("pod");
        bytes memory nobody = abi.encodePacked(bytes32(uint256(1)), bytes32(uint256(1)), uint8(99));
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.redeem(t, 500, nobody);
    }

    function test_a_contract_signs_by_erc1271() public {
        Terms memory t = termsOf("pod");
        t.voucherSigner = address(new Wallet(vm.addr(SESSION_KEY)));
        openWith(t);
        bytes memory byStranger = signed(STRANGER_KEY, voucherDigest(t, 500));
        vm.expectRevert(IPodEscrow.BadSignature.selector);
        escrow.redeem(t, 500, byStranger);
        redeem(t, 500);
        assertEq(creditOf(provider), 500, "provider's credit");
    }

    function test_a_payer_cannot_void_its_vouchers_by_giving_its_account_code() public {
        Terms memory t = termsOf("pod");
        t.voucherSigner = address(0);
        openWith(t);
        bytes memory given = signed(PAYER_KEY, voucherDigest(t, 500));
        vm.etch(payer, address(new RefusingAccount()).code);
        escrow.redeem(t, 500, given);
        assertEq(creditOf(provider), 500, "provider's credit");
    }

    function test_no_voucher_counts_on_a_channel_that_is_unknown_or_closed() public {
        Terms memory t = termsOf("pod");
        expectRedeemRefused(t, 1, abi.encodeWithSelector(IPodEscrow.NotOpen.selector));
        openWith(t);
        vm.prank(provider);
        escrow.settleClose(t, 0, 0, "");
        expectRedeemRefused(t, 1, abi.encodeWithSelector(IPodEscrow.NotOpen.selector));
    }

    function test_a_voucher_pays_what_it_adds(uint128 first, uint128 second) public {
        Terms memory t = openChannel("pod");
        first = uint128(bound(first, 1, DEPOSIT - 1));
        second = uint128(bound(second, first + 1, DEPOSIT));
        redeem(t, first);
        redeem(t, second);
        assertEq(creditOf(provider), second, "provider's credit");
        assertEq(channelOf(t).claimed, second, "claimed");
    }

    function expectRedeemRefused(Terms memory t, uint128 cumulative, bytes memory refusal) private {
        bytes memory sig = voucher(t, cumulative);
        vm.expectRevert(refusal);
        escrow.redeem(t, cumulative, sig);
    }
}
