// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// A contract account: its owner's signature is its own (ERC-1271), its owner's calls are its own.
contract Wallet is IERC1271 {
    address public owner;

    constructor(address owner_) {
        owner = owner_;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        return ECDSA.recoverCalldata(digest, signature) == owner ? IERC1271.isValidSignature.selector : bytes4(0);
    }

    function execute(address target, bytes calldata payload) external returns (bytes memory answer) {
        require(msg.sender == owner, "not the owner");
        bool ok;
        (ok, answer) = target.call(payload);
        require(ok, "call failed");
    }
}

/// An account that accepts no signature at all; the code of a payer who wants its vouchers void (EIP-7702).
contract RefusingAccount is IERC1271 {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0xffffffff;
    }
}
