package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// eniChecks follows an ENI from its creation to its deletion, as a CNI does.
func eniChecks() []check {
	return []check{
		{"CreateNetworkInterface: idempotent, dry run, refusals", createENI},
		{"AttachNetworkInterface: refusals, IMDS shows it", attachENI},
		{"AssignPrivateIpAddresses: addresses and prefixes", assignIPv4},
		{"UnassignPrivateIpAddresses: IMDS follows", unassignIPv4},
		{"AssignIpv6Addresses, UnassignIpv6Addresses", assignIPv6},
		{"ModifyNetworkInterfaceAttribute, DescribeNetworkInterfaceAttribute", modifyENI},
		{"DescribeNetworkInterfaces: filters and pages", listENIs},
		{"CreateTags, DescribeTags, DeleteTags", tags},
		{"AllocateAddress, AssociateAddress, DescribeAddresses", elasticAddress},
		{"AssociateTrunkInterface, DescribeTrunkInterfaceAssociations, DisassociateTrunkInterface", trunk},
		{"DetachNetworkInterface, DeleteNetworkInterface", removeENI},
	}
}

func createENI(ctx context.Context, b *bed) error {
	input := &ec2.CreateNetworkInterfaceInput{
		SubnetId: aws.String(b.subnet), Description: aws.String("aws-K8S-" + b.instance), Groups: []string{b.group},
		SecondaryPrivateIpAddressCount: aws.Int32(3), ClientToken: aws.String("sdkcheck-1"),
		TagSpecifications: []types.TagSpecification{{
			ResourceType: types.ResourceTypeNetworkInterface,
			Tags:         []types.Tag{{Key: aws.String("node.k8s.amazonaws.com/instance_id"), Value: aws.String(b.instance)}},
		}},
	}
	made, err := b.api.CreateNetworkInterface(ctx, input)
	if err != nil {
		return err
	}
	b.eni = aws.ToString(made.NetworkInterface.NetworkInterfaceId)
	again, err := b.api.CreateNetworkInterface(ctx, input)
	if err != nil {
		return err
	}
	if got := aws.ToString(again.NetworkInterface.NetworkInterfaceId); got != b.eni {
		return differs("same client token", got, b.eni)
	}
	_, err = b.api.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{SubnetId: aws.String(b.subnet), DryRun: aws.Bool(true)})
	if err := refused(err, "DryRunOperation"); err != nil {
		return err
	}
	_, err = b.api.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{
		SubnetId: aws.String(b.subnet), SecondaryPrivateIpAddressCount: aws.Int32(4000),
	})
	if err := refused(err, "InsufficientFreeAddressesInSubnet"); err != nil {
		return err
	}
	_, err = b.api.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{
		SubnetId: aws.String(b.subnet), Groups: []string{"sg-0aaaaaaaaaaaaaaaa"},
	})
	return refused(err, "InvalidGroup.NotFound")
}

func attachENI(ctx context.Context, b *bed) error {
	attach := func(index int32) (*ec2.AttachNetworkInterfaceOutput, error) {
		return b.api.AttachNetworkInterface(ctx, &ec2.AttachNetworkInterfaceInput{
			NetworkInterfaceId: aws.String(b.eni), InstanceId: aws.String(b.instance), DeviceIndex: aws.Int32(index),
		})
	}
	_, err := attach(0)
	if err := refused(err, "InvalidParameterValue"); err != nil {
		return err
	}
	out, err := attach(1)
	if err != nil {
		return err
	}
	b.attachment = aws.ToString(out.AttachmentId)
	_, err = attach(2)
	if err := refused(err, "InvalidNetworkInterface.InUse"); err != nil {
		return err
	}
	got, err := b.field(ctx, b.mac(ctx), "device-number")
	if err != nil {
		return err
	}
	return same("device number in IMDS", got, []string{"1"})
}

// mac of the ENI, "" if EC2 does not know it.
func (b *bed) mac(ctx context.Context) string {
	out, err := b.api.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{b.eni}})
	if err != nil {
		return ""
	}
	return aws.ToString(out.NetworkInterfaces[0].MacAddress)
}

func assignIPv4(ctx context.Context, b *bed) error {
	one, err := b.api.AssignPrivateIpAddresses(ctx, &ec2.AssignPrivateIpAddressesInput{
		NetworkInterfaceId: aws.String(b.eni), SecondaryPrivateIpAddressCount: aws.Int32(1),
	})
	if err != nil {
		return err
	}
	if len(one.AssignedPrivateIpAddresses) != 1 {
		return differs("assigned addresses", len(one.AssignedPrivateIpAddresses), 1)
	}
	two, err := b.api.AssignPrivateIpAddresses(ctx, &ec2.AssignPrivateIpAddressesInput{
		NetworkInterfaceId: aws.String(b.eni), Ipv4PrefixCount: aws.Int32(2),
	})
	if err != nil {
		return err
	}
	b.prefixes = nil
	for _, item := range two.AssignedIpv4Prefixes {
		b.prefixes = append(b.prefixes, aws.ToString(item.Ipv4Prefix))
	}
	if len(b.prefixes) != 2 || !strings.HasSuffix(b.prefixes[0], "/28") {
		return differs("assigned prefixes", b.prefixes, "two of /28")
	}
	_, err = b.api.AssignPrivateIpAddresses(ctx, &ec2.AssignPrivateIpAddressesInput{
		NetworkInterfaceId: aws.String(b.eni), Ipv4PrefixCount: aws.Int32(4),
	})
	if err := refused(err, "PrivateIpAddressLimitExceeded"); err != nil {
		return err
	}
	got, err := b.field(ctx, b.mac(ctx), "ipv4-prefix")
	if err != nil {
		return err
	}
	return same("prefixes in IMDS", got, b.prefixes)
}

func unassignIPv4(ctx context.Context, b *bed) error {
	if _, err := b.api.UnassignPrivateIpAddresses(ctx, &ec2.UnassignPrivateIpAddressesInput{
		NetworkInterfaceId: aws.String(b.eni), Ipv4Prefixes: b.prefixes,
	}); err != nil {
		return err
	}
	if err := b.absent(ctx, "network/interfaces/macs/"+b.mac(ctx)+"/ipv4-prefix"); err != nil {
		return err
	}
	held, err := b.field(ctx, b.mac(ctx), "local-ipv4s")
	if err != nil {
		return err
	}
	if len(held) != 5 {
		return differs("addresses in IMDS", held, "5 of them")
	}
	_, err = b.api.UnassignPrivateIpAddresses(ctx, &ec2.UnassignPrivateIpAddressesInput{
		NetworkInterfaceId: aws.String(b.eni), PrivateIpAddresses: held[:1],
	})
	if err := refused(err, "InvalidParameterValue"); err != nil {
		return fmt.Errorf("the primary address: %w", err)
	}
	_, err = b.api.UnassignPrivateIpAddresses(ctx, &ec2.UnassignPrivateIpAddressesInput{
		NetworkInterfaceId: aws.String(b.eni), PrivateIpAddresses: held[1:],
	})
	return err
}

func assignIPv6(ctx context.Context, b *bed) error {
	out, err := b.api.AssignIpv6Addresses(ctx, &ec2.AssignIpv6AddressesInput{
		NetworkInterfaceId: aws.String(b.eni), Ipv6PrefixCount: aws.Int32(1),
	})
	if err != nil {
		return err
	}
	got, err := b.field(ctx, b.mac(ctx), "ipv6-prefix")
	if err != nil {
		return err
	}
	if err := same("IPv6 prefixes in IMDS", got, out.AssignedIpv6Prefixes); err != nil {
		return err
	}
	single, err := b.api.AssignIpv6Addresses(ctx, &ec2.AssignIpv6AddressesInput{
		NetworkInterfaceId: aws.String(b.eni), Ipv6AddressCount: aws.Int32(1),
	})
	if err != nil {
		return err
	}
	gone, err := b.api.UnassignIpv6Addresses(ctx, &ec2.UnassignIpv6AddressesInput{
		NetworkInterfaceId: aws.String(b.eni), Ipv6Prefixes: got, Ipv6Addresses: single.AssignedIpv6Addresses,
	})
	if err != nil {
		return err
	}
	return same("unassigned", gone.UnassignedIpv6Prefixes, got)
}

func modifyENI(ctx context.Context, b *bed) error {
	modify := func(input ec2.ModifyNetworkInterfaceAttributeInput) error {
		input.NetworkInterfaceId = aws.String(b.eni)
		_, err := b.api.ModifyNetworkInterfaceAttribute(ctx, &input)
		return err
	}
	err := modify(ec2.ModifyNetworkInterfaceAttributeInput{Attachment: &types.NetworkInterfaceAttachmentChanges{
		AttachmentId: aws.String(b.attachment), DeleteOnTermination: aws.Bool(true),
	}})
	if err != nil {
		return err
	}
	if err := modify(ec2.ModifyNetworkInterfaceAttributeInput{Groups: []string{b.group}}); err != nil {
		return err
	}
	off := &types.AttributeBooleanValue{Value: aws.Bool(false)}
	if err := modify(ec2.ModifyNetworkInterfaceAttributeInput{SourceDestCheck: off}); err != nil {
		return err
	}
	out, err := b.api.DescribeNetworkInterfaceAttribute(ctx, &ec2.DescribeNetworkInterfaceAttributeInput{
		NetworkInterfaceId: aws.String(b.eni), Attribute: types.NetworkInterfaceAttributeAttachment,
	})
	if err != nil {
		return err
	}
	if !aws.ToBool(out.Attachment.DeleteOnTermination) {
		return differs("DeleteOnTermination", false, true)
	}
	return refused(modify(ec2.ModifyNetworkInterfaceAttributeInput{
		Attachment: &types.NetworkInterfaceAttachmentChanges{
			AttachmentId: aws.String("eni-attach-0aaaaaaaaaaaaaaaa"), DeleteOnTermination: aws.Bool(true),
		},
	}), "InvalidAttachmentID.NotFound")
}

func removeENI(ctx context.Context, b *bed) error {
	_, err := b.api.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: aws.String(b.eni)})
	if err := refused(err, "InvalidParameterValue"); err != nil {
		return err
	}
	mac := b.mac(ctx)
	detach := &ec2.DetachNetworkInterfaceInput{AttachmentId: aws.String(b.attachment)}
	if _, err := b.api.DetachNetworkInterface(ctx, detach); err != nil {
		return err
	}
	_, err = b.api.DetachNetworkInterface(ctx, detach)
	if err := refused(err, "InvalidAttachmentID.NotFound"); err != nil {
		return err
	}
	if err := b.absent(ctx, "network/interfaces/macs/"+mac+"/local-ipv4s"); err != nil {
		return err
	}
	if _, err := b.api.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: aws.String(b.eni)}); err != nil {
		return err
	}
	_, err = b.api.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{b.eni}})
	return refused(err, "InvalidNetworkInterfaceID.NotFound")
}
