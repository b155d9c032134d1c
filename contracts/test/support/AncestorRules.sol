// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// The rules of the ancestor's payment contract as far as money was lost by them, told anew in as little code as shows them:
/// a channel is found by (publisher, provider, pod) for ever, the provider's word alone is paid, and closing forgets the
/// channel's own fields but neither its unlock time nor who may collect from it. For tests; never deployed.
contract AncestorRules {
    struct Sums {
        uint256 invested;
        uint256 paid;
    }

    IERC20 public immutable TOKEN;
    mapping(bytes32 key => Sums) public sums;
    /// Wait that the publisher granted when it opened the channel.
    mapping(bytes32 key => uint256) public unlockTime;
    /// When the publisher may take the rest; zero: it has not asked.
    mapping(bytes32 key => uint256) public unlockedAt;
    mapping(bytes32 key => mapping(address account => bool)) public collectors;

    constructor(IERC20 token) {
        TOKEN = token;
    }

    function keyOf(address publisher, address provider, bytes32 pod) public pure returns (bytes32) {
        return keccak256(abi.encode(publisher, provider, pod));
    }

    function open(address provider, bytes32 pod, uint256 wait, uint256 amount) external {
        bytes32 key = keyOf(msg.sender, provider, pod);
        require(sums[key].invested == 0, "exists");
        sums[key].invested = amount;
        unlockTime[key] = wait;
        collectors[key][provider] = true;
        TOKEN.transferFrom(msg.sender, address(this), amount);
    }

    /// The provider lets somebody else collect.
    function authorize(address publisher, bytes32 pod, address collector) external {
        bytes32 key = keyOf(publisher, msg.sender, pod);
        require(collectors[key][msg.sender], "not authorized");
        collectors[key][collector] = true;
    }

    /// Pays the caller until `total` has been paid in all.
    function collect(address publisher, address provider, bytes32 pod, uint256 total) external {
        bytes32 key = keyOf(publisher, provider, pod);
        require(collectors[key][msg.sender], "not authorized");
        Sums storage s = sums[key];
        require(total > s.paid && total <= s.invested, "insufficient funds");
        uint256 due = total - s.paid;
        s.paid = total;
        if (unlockedAt[key] != 0) unlockedAt[key] = block.timestamp;
        TOKEN.transfer(msg.sender, due);
    }

    function unlock(address provider, bytes32 pod) external {
        bytes32 key = keyOf(msg.sender, provider, pod);
        unlockedAt[key] = block.timestamp + unlockTime[key];
    }

    /// Closes the channel too: what is left goes to the publisher.
    function takeBack(address provider, bytes32 pod) external {
        bytes32 key = keyOf(msg.sender, provider, pod);
        require(unlockedAt[key] != 0 && block.timestamp >= unlockedAt[key], "locked");
        Sums memory s = sums[key];
        delete sums[key];
        TOKEN.transfer(msg.sender, s.invested - s.paid);
    }
}
