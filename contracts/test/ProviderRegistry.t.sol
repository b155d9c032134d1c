// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Entry, IProviderRegistry, Row} from "../src/IProviderRegistry.sol";
import {TestToken} from "../src/TestToken.sol";
import {Test} from "./support/Test.sol";
import {BlockingToken, CallingToken, FeeToken} from "./support/Tokens.sol";

contract ProviderRegistryTest is Test {
    uint96 private constant BOND = 50e6;
    address private constant ALICE = address(0xA11CE);
    address private constant BOB = address(0xB0B);
    address private constant CAROL = address(0xCA401);

    TestToken private token;
    IProviderRegistry private registry;

    function setUp() public {
        vm.warp(1_800_000_000);
        vm.roll(1_000);
        token = new TestToken();
        registry = bonded(token);
        address[3] memory providers = [ALICE, BOB, CAROL];
        for (uint256 i = 0; i < 3; i++) {
            token.mint(providers[i], BOND);
            vm.prank(providers[i]);
            token.approve(address(registry), BOND);
        }
    }

    function test_an_announcement_lists_the_caller_with_the_digest_of_its_record() public {
        bytes memory record = "a record";
        vm.expectEmit();
        emit IProviderRegistry.ProviderUpdated(ALICE, 1, sha256(record), 0x55, BOND, record);
        announce(ALICE, record);
        Entry memory e = registry.entryOf(ALICE);
        assertEq(e.digest, sha256(record), "digest");
        assertEq(e.codec, 0x55, "codec");
        assertEq(e.index, 1, "index");
        assertEq(e.seq, 1, "seq");
        assertEq(e.updatedBlock, 1_000, "updatedBlock");
        assertEq(e.exitAt, 0, "exitAt");
        assertEq(e.bond, BOND, "bond");
        assertEq(token.balanceOf(address(registry)), BOND, "registry's balance");
    }

    function test_an_update_costs_no_second_bond_and_no_second_row() public {
        announce(ALICE, "first");
        vm.roll(2_000);
        announce(ALICE, "second");
        Entry memory e = registry.entryOf(ALICE);
        assertEq(e.digest, sha256("second"), "digest");
        assertEq(e.seq, 2, "seq");
        assertEq(e.updatedBlock, 2_000, "updatedBlock");
        assertEq(registry.count(), 1, "count");
        assertEq(token.balanceOf(address(registry)), BOND, "registry's balance");
    }

    function test_records_of_1_to_4096_bytes_are_accepted() public {
        announce(ALICE, new bytes(1));
        announce(ALICE, new bytes(4096));
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.BadRecordLength.selector, 4097));
        announce(ALICE, new bytes(4097));
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.BadRecordLength.selector, 0));
        announce(ALICE, "");
    }

    function test_a_record_on_ipfs_is_named_by_digest_and_codec() public {
        vm.expectEmit();
        emit IProviderRegistry.ProviderUpdated(ALICE, 1, keccak256("digest"), 0x71, BOND, "");
        announceCid(ALICE, keccak256("digest"), 0x71);
        assertEq(registry.entryOf(ALICE).codec, 0x71, "codec");
        announceCid(ALICE, keccak256("digest"), 0x55);
        assertEq(registry.entryOf(ALICE).codec, 0x55, "codec afterwards");
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.BadCodec.selector, 0x70));
        announceCid(ALICE, keccak256("digest"), 0x70);
        vm.expectRevert(IProviderRegistry.BadDigest.selector);
        announceCid(ALICE, bytes32(0), 0x71);
    }

    function test_pages_cover_the_list_and_end_with_it() public {
        announceThree();
        assertEq(registry.count(), 3, "count");
        assertEq(registry.page(0, 0).length, 0, "page of none");
        assertEq(registry.page(3, 10).length, 0, "page past the end");
        assertEq(registry.page(type(uint256).max, type(uint256).max).length, 0, "page far past the end");
        Row[] memory rows = registry.page(1, type(uint256).max);
        assertEq(rows.length, 2, "rows from 1");
        assertEq(rows[0].provider, BOB, "row 1");
        assertEq(rows[1].provider, CAROL, "row 2");
        assertEq(rows[1].entry.digest, sha256("carol"), "digest of row 2");
        rows = registry.page(0, 1);
        assertEq(rows.length, 1, "rows of a page of one");
        assertEq(rows[0].provider, ALICE, "row 0");
    }

    function test_a_provider_leaves_after_the_delay_with_its_bond() public {
        announceThree();
        uint40 exitAt = uint40(block.timestamp + 7 days);
        vm.expectEmit();
        emit IProviderRegistry.ProviderExit(ALICE, exitAt);
        vm.startPrank(ALICE);
        registry.exit();
        assertEq(registry.entryOf(ALICE).exitAt, exitAt, "exitAt");
        vm.warp(exitAt - 1);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.ExitPending.selector, exitAt));
        registry.remove();
        vm.warp(exitAt);
        vm.expectEmit();
        emit IProviderRegistry.ProviderRemoved(ALICE, BOND);
        registry.remove();
        assertEq(token.balanceOf(ALICE), BOND, "Alice's balance");
        assertEq(token.balanceOf(address(registry)), 2 * BOND, "registry's balance");
        Row[] memory rows = registry.page(0, 10);
        assertEq(rows.length, 2, "rows left");
        assertEq(rows[0].provider, CAROL, "the last row fills the gap");
        assertEq(rows[0].entry.index, 1, "its index");
        assertEq(rows[1].provider, BOB, "the other row");
        vm.expectRevert(IProviderRegistry.NotListed.selector);
        registry.remove();
    }

    function test_the_row_moved_into_a_gap_can_leave_as_well() public {
        announceThree();
        depart(ALICE);
        depart(CAROL);
        assertEq(registry.count(), 1, "count");
        assertEq(registry.page(0, 1)[0].provider, BOB, "row left");
        depart(BOB);
        assertEq(registry.count(), 0, "count at the end");
        assertEq(token.balanceOf(address(registry)), 0, "registry's balance");
    }

    function test_the_sequence_goes_on_after_a_removal() public {
        announce(ALICE, "first");
        depart(ALICE);
        Entry memory e = registry.entryOf(ALICE);
        assertEq(e.index, 0, "index");
        assertEq(e.seq, 1, "seq");
        assertEq(e.bond, 0, "bond");
        assertEq(e.exitAt, 0, "exitAt");
        assertEq(e.digest, bytes32(0), "digest");
        vm.prank(ALICE);
        token.approve(address(registry), BOND);
        announce(ALICE, "second");
        assertEq(registry.entryOf(ALICE).seq, 2, "seq after the return");
        assertEq(token.balanceOf(address(registry)), BOND, "registry's balance");
    }

    function test_an_exit_is_announced_once_and_an_announcement_takes_it_back() public {
        vm.expectRevert(IProviderRegistry.NotListed.selector);
        registry.exit();
        announce(ALICE, "first");
        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.ExitPending.selector, 0));
        registry.remove();
        registry.exit();
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.ExitPending.selector, block.timestamp + 7 days));
        registry.exit();
        registry.announce("second");
        assertEq(registry.entryOf(ALICE).exitAt, 0, "exitAt");
        vm.warp(block.timestamp + 7 days);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.ExitPending.selector, 0));
        registry.remove();
    }

    function test_without_a_bond_no_token_is_needed() public {
        registry = newRegistry(IERC20(address(0)), 0);
        announce(ALICE, "record");
        assertEq(registry.entryOf(ALICE).bond, 0, "bond");
        depart(ALICE);
        assertEq(registry.count(), 0, "count");
    }

    function test_a_bond_in_no_token_is_refused() public {
        vm.expectRevert(IProviderRegistry.BadBondToken.selector);
        newRegistry(IERC20(address(0xdead)), 1);
    }

    function test_who_cannot_pay_the_bond_is_not_listed() public {
        vm.expectRevert();
        announce(address(0xbeef), "record");
        assertEq(registry.count(), 0, "count");
    }

    function test_a_bond_that_arrives_short_is_refused() public {
        FeeToken fee = new FeeToken();
        fee.mint(ALICE, BOND);
        registry = newRegistry(fee, BOND);
        vm.prank(ALICE);
        fee.approve(address(registry), BOND);
        vm.expectRevert(IProviderRegistry.TokenShort.selector);
        announce(ALICE, "record");
    }

    function test_a_bond_token_that_calls_back_cannot_enter() public {
        CallingToken calling = new CallingToken();
        registry = bonded(calling);
        // The token could pay for a row of its own: nothing but the guard keeps it out.
        address[3] memory holders = [ALICE, BOB, address(calling)];
        for (uint256 i = 0; i < 3; i++) {
            calling.mint(holders[i], BOND);
            vm.prank(holders[i]);
            calling.approve(address(registry), BOND);
        }
        bytes memory inner = abi.encodeCall(registry.announce, ("inner"));
        bytes memory innerCid = abi.encodeCall(registry.announceCid, (keccak256("inner"), 0x55));
        calling.arm(address(registry), inner);
        announce(ALICE, "outer");
        assertShutOut(calling);
        calling.arm(address(registry), innerCid);
        announceCid(BOB, keccak256("outer"), 0x55);
        assertShutOut(calling);
        calling.arm(address(registry), inner);
        depart(ALICE);
        assertShutOut(calling);
        assertEq(registry.count(), 1, "count");
    }

    function test_a_blocked_provider_holds_up_nobody_else() public {
        BlockingToken blocking = new BlockingToken();
        registry = bonded(blocking);
        address[2] memory providers = [ALICE, BOB];
        for (uint256 i = 0; i < 2; i++) {
            blocking.mint(providers[i], BOND);
            vm.prank(providers[i]);
            blocking.approve(address(registry), BOND);
            announce(providers[i], "record");
        }
        blocking.setBlocked(ALICE, true);
        depart(BOB);
        assertEq(blocking.balanceOf(BOB), BOND, "Bob's balance");
        assertEq(registry.count(), 1, "count");
    }

    function test_the_list_and_its_indexes_agree_after_any_comings_and_goings(uint8[24] calldata moves) public {
        registry = newRegistry(IERC20(address(0)), 0);
        uint256 listed;
        for (uint256 i = 0; i < moves.length; i++) {
            address provider = address(uint160(0x1000 + moves[i] % 6));
            bool isListed = registry.entryOf(provider).index != 0;
            if (isListed && moves[i] >= 128) depart(provider);
            else announce(provider, abi.encode(moves[i]));
            if (isListed && moves[i] >= 128) listed--;
            else if (!isListed) listed++;
            Row[] memory rows = registry.page(0, 10);
            assertEq(rows.length, listed, "rows");
            for (uint256 j = 0; j < rows.length; j++) {
                assertEq(rows[j].entry.index, j + 1, "index of a row");
                assertEq(registry.entryOf(rows[j].provider).index, j + 1, "index of its provider");
            }
        }
    }

    function newRegistry(IERC20 bondToken, uint96 bond) private returns (IProviderRegistry) {
        return IProviderRegistry(deploy("ProviderRegistry.sol:ProviderRegistry", abi.encode(bondToken, bond)));
    }

    function bonded(IERC20 bondToken) private returns (IProviderRegistry) {
        return newRegistry(bondToken, BOND);
    }

    function announce(address provider, bytes memory record) private {
        vm.prank(provider);
        registry.announce(record);
    }

    function announceCid(address provider, bytes32 digest, uint8 codec) private {
        vm.prank(provider);
        registry.announceCid(digest, codec);
    }

    function announceThree() private {
        announce(ALICE, "alice");
        announce(BOB, "bob");
        announce(CAROL, "carol");
    }

    function assertShutOut(CallingToken calling) private view {
        bytes memory refusal = abi.encodeWithSignature("ReentrancyGuardReentrantCall()");
        assertEq(keccak256(calling.answer()), keccak256(refusal), "answer to the call back");
    }

    function depart(address provider) private {
        vm.prank(provider);
        registry.exit();
        vm.warp(block.timestamp + 7 days);
        vm.prank(provider);
        registry.remove();
    }
}
