// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Channel, ClaimItem, Terms} from "../../src/EscrowTypes.sol";
import {IPodEscrow} from "../../src/IPodEscrow.sol";
import {TestToken} from "../../src/TestToken.sol";
import {Test} from "./Test.sol";

interface Batching {
    function multicall(bytes[] calldata calls) external returns (bytes[] memory);
}

/// An escrow, a token, a payer with money, and signatures made from the written protocol rather than the contract's code.
abstract contract EscrowFixture is Test {
    struct Signature {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    uint256 internal constant PAYER_KEY = 0xA11CE;
    uint256 internal constant SESSION_KEY = 0x5E55;
    uint256 internal constant PROVIDER_KEY = 0xB0B;
    uint256 internal constant METER_KEY = 0x3E7E;
    uint256 internal constant STRANGER_KEY = 0x57A;
    uint256 internal constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// 1 token per hour, so that the cap after an hour is 1e6.
    uint96 internal constant RATE = 1e6;
    uint128 internal constant DEPOSIT = 10e6;
    uint32 internal constant DELAY = 6 hours;
    bytes32 internal constant USAGE = keccak256("usage");

    address internal payer = vm.addr(PAYER_KEY);
    address internal provider = vm.addr(PROVIDER_KEY);
    address internal stranger = vm.addr(STRANGER_KEY);
    IPodEscrow internal escrow;
    TestToken internal token;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        escrow = newEscrow();
        token = new TestToken();
        token.mint(payer, 1_000e6);
        vm.prank(payer);
        token.approve(address(escrow), type(uint256).max);
    }

    function newEscrow() internal returns (IPodEscrow) {
        return IPodEscrow(deploy("PodEscrow.sol:PodEscrow", ""));
    }

    function multicall(bytes[] memory calls) internal {
        Batching(address(escrow)).multicall(calls);
    }

    function termsOf(bytes32 podId) internal view returns (Terms memory) {
        return Terms({
            payer: payer,
            voucherSigner: vm.addr(SESSION_KEY),
            provider: provider,
            meter: vm.addr(METER_KEY),
            token: address(token),
            ratePerHour: RATE,
            unlockDelay: DELAY,
            podId: podId
        });
    }

    /// A channel with DEPOSIT in it, opened now.
    function openChannel(bytes32 podId) internal returns (Terms memory t) {
        t = termsOf(podId);
        openWith(t);
    }

    function openWith(Terms memory t) internal {
        vm.prank(t.payer);
        escrow.open(t, DEPOSIT);
    }

    function skip(uint256 secs) internal {
        vm.warp(block.timestamp + secs);
    }

    function channelOf(Terms memory t) internal view returns (Channel memory) {
        return escrow.channels(idOf(t));
    }

    function idOf(Terms memory t) internal view returns (bytes32) {
        bytes32 typeHash = keccak256(
            "Terms(address payer,address voucherSigner,address provider,address meter,address token,uint96 ratePerHour,uint32 unlockDelay,bytes32 podId)"
        );
        return digestOf(
            keccak256(
                abi.encode(
                    typeHash,
                    t.payer,
                    t.voucherSigner,
                    t.provider,
                    t.meter,
                    t.token,
                    t.ratePerHour,
                    t.unlockDelay,
                    t.podId
                )
            )
        );
    }

    function digestOf(bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Trusted Pods Escrow"),
                keccak256("1"),
                block.chainid,
                address(escrow)
            )
        );
        return keccak256(abi.encodePacked("\x19\x01", domain, structHash));
    }

    function receiptDigest(Terms memory t, uint128 cumulative) internal view returns (bytes32) {
        bytes32 typeHash = keccak256("Receipt(bytes32 channelId,uint128 cumulative,bytes32 usageHash)");
        return digestOf(keccak256(abi.encode(typeHash, idOf(t), cumulative, USAGE)));
    }

    function voucherDigest(Terms memory t, uint128 cumulative) internal view returns (bytes32) {
        bytes32 typeHash = keccak256("Voucher(bytes32 channelId,uint128 cumulative)");
        return digestOf(keccak256(abi.encode(typeHash, idOf(t), cumulative)));
    }

    function closeDigest(Terms memory t, uint128 cumulative, uint64 deadline) internal view returns (bytes32) {
        bytes32 typeHash = keccak256("Close(bytes32 channelId,uint128 cumulative,uint64 deadline)");
        return digestOf(keccak256(abi.encode(typeHash, idOf(t), cumulative, deadline)));
    }

    function signed(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// The other signature of the same key over the same digest.
    function malleated(bytes memory signature) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s, uint8 v) = (bytes32(0), bytes32(0), uint8(signature[64]));
        assembly {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
        }
        return abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
    }

    function receipt(Terms memory t, uint128 cumulative) internal view returns (bytes memory) {
        return signed(METER_KEY, receiptDigest(t, cumulative));
    }

    function voucher(Terms memory t, uint128 cumulative) internal view returns (bytes memory) {
        return signed(SESSION_KEY, voucherDigest(t, cumulative));
    }

    function claim(Terms memory t, uint128 cumulative) internal {
        escrow.claim(t, cumulative, USAGE, receipt(t, cumulative));
    }

    function redeem(Terms memory t, uint128 cumulative) internal {
        escrow.redeem(t, cumulative, voucher(t, cumulative));
    }

    function requestClose(Terms memory t) internal {
        vm.prank(t.payer);
        escrow.requestClose(t);
    }

    function creditOf(address account) internal view returns (uint256) {
        return escrow.credit(account, address(token));
    }

    /// EIP-3009 authorisation for a deposit; valid for ever.
    function authorisation(uint256 key, Terms memory t, uint128 amount, bytes32 salt)
        internal
        view
        returns (Signature memory sig)
    {
        bytes32 typeHash = keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
        bytes32 nonce = keccak256(abi.encode(idOf(t), salt));
        bytes32 structHash =
            keccak256(abi.encode(typeHash, t.payer, address(escrow), amount, 0, type(uint40).max, nonce));
        return signToken(key, structHash);
    }

    function signToken(uint256 key, bytes32 structHash) internal view returns (Signature memory sig) {
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), structHash));
        (sig.v, sig.r, sig.s) = vm.sign(key, digest);
    }
}
