// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestToken} from "../src/TestToken.sol";
import {AncestorRules} from "./support/AncestorRules.sol";
import {Test} from "./support/Test.sol";

/// The four attacks of KnownAttacks.t.sol, played where they succeed: without this side, a test that never attacks would look
/// like one that defends. Each ends with the loot.
contract AncestorAttacksTest is Test {
    uint256 private constant DEPOSIT = 10e6;
    uint256 private constant WAIT = 6 hours;
    bytes32 private constant POD = "pod";

    address private publisher = address(0xA11CE);
    address private provider = address(0xB0B);
    address private stranger = address(0x57A);
    TestToken private token = new TestToken();
    AncestorRules private rules = new AncestorRules(token);

    function setUp() public {
        vm.warp(1_800_000_000);
        token.mint(publisher, 100e6);
        vm.prank(publisher);
        token.approve(address(rules), type(uint256).max);
    }

    /// Held off by test_a_provider_cannot_drain_the_deposit.
    function test_there_a_provider_drains_the_deposit_one_block_after_it_was_made() public {
        openChannel();
        skip(12);
        collectAs(provider, DEPOSIT);
        assertEq(token.balanceOf(provider), DEPOSIT, "the provider's loot");
    }

    /// Held off by test_a_channel_cannot_be_born_unlocked.
    function test_there_a_channel_is_born_unlocked_and_its_deposit_gone_at_once() public {
        openChannel();
        unlock();
        skip(WAIT);
        takeBack();

        openChannel();
        assertEq(rules.unlockTime(key()), WAIT, "wait that the provider sees");
        takeBack();
        assertEq(token.balanceOf(publisher), 100e6, "the publisher's money, with the pod running");
    }

    /// Held off by test_no_authority_survives_a_close.
    function test_there_a_collector_of_a_closed_channel_takes_the_next_deposit() public {
        openChannel();
        vm.prank(provider);
        rules.authorize(publisher, POD, stranger);
        unlock();
        skip(WAIT);
        takeBack();

        openChannel();
        collectAs(stranger, DEPOSIT);
        assertEq(token.balanceOf(stranger), DEPOSIT, "the stranger's loot");
    }

    /// Held off by test_a_claim_does_not_end_the_unlock_delay.
    function test_there_a_claim_while_unlocking_ends_the_providers_time() public {
        openChannel();
        unlock();
        collectAs(provider, DEPOSIT / 2);
        takeBack();
        vm.expectRevert();
        collectAs(provider, DEPOSIT);
        assertEq(token.balanceOf(provider), DEPOSIT / 2, "what the provider was left with");
    }

    function openChannel() private {
        vm.prank(publisher);
        rules.open(provider, POD, WAIT, DEPOSIT);
    }

    function unlock() private {
        vm.prank(publisher);
        rules.unlock(provider, POD);
    }

    function takeBack() private {
        vm.prank(publisher);
        rules.takeBack(provider, POD);
    }

    function collectAs(address collector, uint256 total) private {
        vm.prank(collector);
        rules.collect(publisher, provider, POD, total);
    }

    function key() private view returns (bytes32) {
        return rules.keyOf(publisher, provider, POD);
    }

    function skip(uint256 seconds_) private {
        vm.warp(block.timestamp + seconds_);
    }
}
