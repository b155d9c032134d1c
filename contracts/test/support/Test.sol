// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// The cheat codes used here, of forge's own contract at a fixed address.
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function getCode(string calldata artifact) external view returns (bytes memory);
    function addr(uint256 key) external pure returns (address);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function warp(uint256 timestamp) external;
    function roll(uint256 blockNumber) external;
    function chainId(uint256 id) external;
    function prank(address sender) external;
    function startPrank(address sender) external;
    function stopPrank() external;
    function etch(address target, bytes calldata code) external;
    function store(address target, bytes32 slot, bytes32 value) external;
    function expectRevert(bytes4 selector) external;
    function expectRevert(bytes calldata data) external;
    function expectRevert() external;
    function expectEmit() external;
    function assume(bool condition) external;
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
}

/// What a test needs and no more. Every assertion reverts with what it saw and what it wanted.
abstract contract Test {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// forge takes a contract for a test by this.
    bool public IS_TEST = true;

    error NotEqual(string what, uint256 seen, uint256 wanted);
    error NotTrue(string what);

    function assertEq(uint256 seen, uint256 wanted, string memory what) internal pure {
        if (seen != wanted) revert NotEqual(what, seen, wanted);
    }

    function assertEq(bytes32 seen, bytes32 wanted, string memory what) internal pure {
        if (seen != wanted) revert NotEqual(what, uint256(seen), uint256(wanted));
    }

    function assertEq(address seen, address wanted, string memory what) internal pure {
        if (seen != wanted) revert NotEqual(what, uint160(seen), uint160(wanted));
    }

    function assertTrue(bool condition, string memory what) internal pure {
        if (!condition) revert NotTrue(what);
    }

    /// Deploys what forge compiled with the settings of production; `new` here would compile it with those of the tests.
    /// Reverts with what the constructor reverts with.
    function deploy(string memory artifact, bytes memory args) internal returns (address deployed) {
        bytes memory code = bytes.concat(vm.getCode(artifact), args);
        assembly {
            deployed := create(0, add(code, 32), mload(code))
            if iszero(deployed) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    /// `value` folded into [low, high].
    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        return value >= low && value <= high ? value : low + value % (high - low + 1);
    }
}
