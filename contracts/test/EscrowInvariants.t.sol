// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Channel} from "../src/EscrowTypes.sol";
import {IPodEscrow} from "../src/IPodEscrow.sol";
import {EscrowModel} from "./support/EscrowModel.sol";
import {Test} from "./support/Test.sol";

/// Chance walks over everything that payers, providers and a stranger can do. The model refuses any acceptance or refusal
/// that the rules do not want (no early refund, no claim over the cap, no second life of an id, no withdrawal over the
/// credit); what must hold between the steps is below.
contract EscrowInvariantsTest is Test {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    IPodEscrow private escrow;
    EscrowModel private model;

    function setUp() public {
        vm.warp(1_800_000_000);
        escrow = IPodEscrow(deploy("PodEscrow.sol:PodEscrow", ""));
        model = new EscrowModel(escrow);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(model);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory steps = new bytes4[](15);
        steps[0] = EscrowModel.open.selector;
        steps[1] = EscrowModel.openFromCredit.selector;
        steps[2] = EscrowModel.deposit.selector;
        steps[3] = EscrowModel.topUp.selector;
        steps[4] = EscrowModel.claim.selector;
        steps[5] = EscrowModel.claimBatch.selector;
        steps[6] = EscrowModel.redeem.selector;
        steps[7] = EscrowModel.withdraw.selector;
        steps[8] = EscrowModel.requestClose.selector;
        steps[9] = EscrowModel.finalizeClose.selector;
        steps[10] = EscrowModel.settleClose.selector;
        steps[11] = EscrowModel.reopen.selector;
        steps[12] = EscrowModel.pass.selector;
        steps[13] = EscrowModel.setBlocked.selector;
        steps[14] = EscrowModel.withdrawFor.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(model), steps);
    }

    /// The escrow holds what it owes, to the last unit.
    function invariant_the_balance_is_the_open_deposits_and_all_credit() public view {
        uint256 owed;
        for (uint256 i = 0; i < model.count(); i++) {
            Channel memory c = channelAt(i);
            if (!c.closed) owed += c.deposited - c.claimed;
        }
        for (uint256 i = 0; i < 5; i++) {
            owed += escrow.credit(model.actor(i), address(model.tokenAddress()));
        }
        assertEq(model.tokenAddress().balanceOf(address(escrow)), owed, "escrow's balance");
    }

    /// Claims never fall nor pass the deposit, times move only by the rules: the books have grown step by step.
    function invariant_every_channel_is_as_in_the_books() public view {
        for (uint256 i = 0; i < model.count(); i++) {
            Channel memory c = channelAt(i);
            EscrowModel.Book memory b = model.bookAt(i);
            assertTrue(c.claimed <= c.deposited, "claimed within deposited");
            assertEq(c.deposited, b.deposited, "deposited");
            assertEq(c.claimed, b.claimed, "claimed");
            assertEq(c.openedAt, b.openedAt, "openedAt");
            assertEq(c.closed ? 1 : 0, b.closed ? 1 : 0, "closed");
            assertEq(c.accrualEnd, b.requestedAt == 0 ? 0 : b.requestedAt + 5 minutes, "accrualEnd");
            assertEq(c.closeAt, b.requestedAt == 0 ? 0 : b.requestedAt + b.terms.unlockDelay, "closeAt");
        }
    }

    /// The cap is rate x elapsed, and after a close request it stays.
    function invariant_the_cap_is_as_in_the_books() public view {
        for (uint256 i = 0; i < model.count(); i++) {
            EscrowModel.Book memory b = model.bookAt(i);
            assertEq(escrow.accruedCap(b.terms), model.capOf(b), "cap");
        }
    }

    function invariant_credit_is_as_in_the_books_and_a_stranger_has_none() public view {
        for (uint256 i = 0; i < 5; i++) {
            address account = model.actor(i);
            uint256 held = escrow.credit(account, address(model.tokenAddress()));
            assertEq(held, model.credited(account), "credit");
        }
        assertEq(escrow.credit(model.actor(4), address(model.tokenAddress())), 0, "stranger's credit");
        assertTrue(model.tokenAddress().balanceOf(model.actor(4)) <= 1e12, "stranger's balance");
    }

    /// A walk that never succeeded, or never was refused, would prove nothing.
    function test_the_walk_takes_and_is_refused_every_step() public {
        string[12] memory names = [
            "open",
            "openFromCredit",
            "depositWithAuthorization",
            "topUp",
            "claim",
            "claimBatch",
            "redeem",
            "withdraw",
            "requestClose",
            "finalizeClose",
            "settleClose",
            "withdrawFor"
        ];
        uint256[12] memory seenAccepted;
        uint256[12] memory seenRefused;
        bytes4[] memory steps = this.targetSelectors()[0].selectors;
        for (uint256 i = 0; i < 3_000; i++) {
            if (i % 500 == 0) model = new EscrowModel(escrow = IPodEscrow(deploy("PodEscrow.sol:PodEscrow", "")));
            walk(steps[random(i, 5) % steps.length], i);
            if (i % 500 != 499) continue;
            invariant_the_balance_is_the_open_deposits_and_all_credit();
            invariant_every_channel_is_as_in_the_books();
            for (uint256 step = 0; step < 12; step++) {
                seenAccepted[step] += model.accepted(names[step]);
                seenRefused[step] += model.refused(names[step]);
            }
        }
        for (uint256 step = 0; step < 12; step++) {
            assertTrue(seenAccepted[step] > 0, string.concat("never accepted: ", names[step]));
            assertTrue(seenRefused[step] > 0, string.concat("never refused: ", names[step]));
        }
    }

    function walk(bytes4 selector, uint256 i) private {
        bytes memory call = abi.encodeWithSelector(
            selector, random(i, 0), random(i, 1), random(i, 2) % 100e6, random(i, 3), random(i, 4)
        );
        if (selector == EscrowModel.setBlocked.selector) {
            call = abi.encodeWithSelector(selector, random(i, 0), i % 4 == 0);
        }
        if (selector == EscrowModel.deposit.selector) {
            call = abi.encodeWithSelector(selector, random(i, 0), random(i, 1), random(i, 2), random(i, 3), i % 2 == 0);
        }
        (bool ok, bytes memory answer) = address(model).call(call);
        if (ok) return;
        assembly {
            revert(add(answer, 32), mload(answer))
        }
    }

    function random(uint256 i, uint256 salt) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(i, salt)));
    }

    function channelAt(uint256 index) private view returns (Channel memory) {
        return escrow.channels(escrow.channelIdOf(model.bookAt(index).terms));
    }
}
