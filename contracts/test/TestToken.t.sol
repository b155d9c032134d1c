// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestToken} from "../src/TestToken.sol";
import {Test} from "./support/Test.sol";

contract TestTokenTest is Test {
    function test_it_looks_like_usdc_and_anyone_mints() public {
        TestToken token = new TestToken();
        assertEq(token.decimals(), 6, "decimals");
        assertEq(keccak256(bytes(token.name())), keccak256("Test USD Coin"), "name");
        assertEq(keccak256(bytes(token.symbol())), keccak256("tUSDC"), "symbol");
        vm.prank(address(1));
        token.mint(address(2), 5);
        assertEq(token.balanceOf(address(2)), 5, "minted");
    }

    function test_its_signing_domain_is_its_name_and_version_1() public {
        TestToken token = new TestToken();
        (, string memory name, string memory version,, address verifier,,) = token.eip712Domain();
        assertEq(keccak256(bytes(name)), keccak256("Test USD Coin"), "name");
        assertEq(keccak256(bytes(version)), keccak256("1"), "version");
        assertEq(verifier, address(token), "verifying contract");
    }
}
