package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func listENIs(ctx context.Context, b *bed) error {
	for range 6 {
		if _, err := b.api.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{
			SubnetId: aws.String(b.builtSubnet), Description: aws.String("page"),
		}); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	pages := ec2.NewDescribeNetworkInterfacesPaginator(b.api, &ec2.DescribeNetworkInterfacesInput{
		MaxResults: aws.Int32(5),
		Filters: []types.Filter{
			{Name: aws.String("description"), Values: []string{"pa*"}},
			{Name: aws.String("status"), Values: []string{"available"}},
			{Name: aws.String("vpc-id"), Values: []string{b.builtVPC}},
		},
	})
	count := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		count++
		for _, eni := range page.NetworkInterfaces {
			seen[*eni.NetworkInterfaceId] = true
		}
	}
	if count != 2 || len(seen) != 6 {
		return differs("pages and ENIs", fmt.Sprint(count, len(seen)), "2 6")
	}
	for id := range seen {
		if _, err := b.api.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: &id}); err != nil {
			return err
		}
	}
	ours, err := b.api.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: []types.Filter{
		{Name: aws.String("tag-key"), Values: []string{"node.k8s.amazonaws.com/instance_id"}},
		{Name: aws.String("attachment.instance-id"), Values: []string{b.instance}},
		{Name: aws.String("attachment.device-index"), Values: []string{"1"}},
	}})
	if err != nil {
		return err
	}
	if len(ours.NetworkInterfaces) != 1 || aws.ToString(ours.NetworkInterfaces[0].NetworkInterfaceId) != b.eni {
		return differs("filtered ENIs", len(ours.NetworkInterfaces), "only "+b.eni)
	}
	_, err = b.api.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: []types.Filter{
		{Name: aws.String("colour"), Values: []string{"blue"}},
	}})
	return refused(err, "InvalidParameterValue")
}

func tags(ctx context.Context, b *bed) error {
	tag := []types.Tag{{Key: aws.String("node.k8s.amazonaws.com/createdAt"), Value: aws.String("2026-01-01T00:00:00Z")}}
	if _, err := b.api.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{b.eni}, Tags: tag}); err != nil {
		return err
	}
	filters := []types.Filter{
		{Name: aws.String("resource-id"), Values: []string{b.eni}},
		{Name: aws.String("key"), Values: []string{"node.k8s.amazonaws.com/createdAt"}},
	}
	got, err := b.api.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: filters})
	if err != nil {
		return err
	}
	if len(got.Tags) != 1 || got.Tags[0].ResourceType != types.ResourceTypeNetworkInterface {
		return differs("tags", got.Tags, "one, of a network-interface")
	}
	if _, err := b.api.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{b.eni}, Tags: tag}); err != nil {
		return err
	}
	got, err = b.api.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: filters})
	if err == nil && len(got.Tags) != 0 {
		return differs("tags", len(got.Tags), 0)
	}
	return err
}

func elasticAddress(ctx context.Context, b *bed) error {
	made, err := b.api.AllocateAddress(ctx, &ec2.AllocateAddressInput{Domain: types.DomainTypeVpc})
	if err != nil {
		return err
	}
	bound, err := b.api.AssociateAddress(ctx, &ec2.AssociateAddressInput{
		AllocationId: made.AllocationId, NetworkInterfaceId: aws.String(b.eni),
	})
	if err != nil {
		return err
	}
	got, err := b.field(ctx, b.mac(ctx), "public-ipv4s")
	if err != nil {
		return err
	}
	if err := same("public addresses in IMDS", got, []string{aws.ToString(made.PublicIp)}); err != nil {
		return err
	}
	shown, err := b.api.DescribeAddresses(ctx, &ec2.DescribeAddressesInput{AllocationIds: []string{*made.AllocationId}})
	if err != nil {
		return err
	}
	if got := aws.ToString(shown.Addresses[0].NetworkInterfaceId); got != b.eni {
		return differs("ENI of the address", got, b.eni)
	}
	if _, err := b.api.DisassociateAddress(ctx, &ec2.DisassociateAddressInput{AssociationId: bound.AssociationId}); err != nil {
		return err
	}
	_, err = b.api.ReleaseAddress(ctx, &ec2.ReleaseAddressInput{AllocationId: made.AllocationId})
	return err
}
