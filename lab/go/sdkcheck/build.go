package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// buildChecks makes a VPC of its own beside the one of the node, and looks at what there is.
func buildChecks() []check {
	return []check{
		{"CreateVpc, AssociateVpcCidrBlock, DisassociateVpcCidrBlock", buildVPC},
		{"CreateSubnet, DescribeSubnets", buildSubnet},
		{"CreateSubnetCidrReservation, GetSubnetCidrReservations", reserve},
		{"security groups", securityGroups},
		{"DescribeAvailabilityZones", func(ctx context.Context, b *bed) error {
			out, err := b.api.DescribeAvailabilityZones(ctx, nil)
			if err == nil && aws.ToString(out.AvailabilityZones[0].ZoneId) != "usw2-az1" {
				return differs("zone id", aws.ToString(out.AvailabilityZones[0].ZoneId), "usw2-az1")
			}
			return err
		}},
		{"DescribeInstanceTypes", instanceTypes},
		{"RunInstances, TerminateInstances", runInstances},
	}
}

func buildVPC(ctx context.Context, b *bed) error {
	made, err := b.api.CreateVpc(ctx, &ec2.CreateVpcInput{
		CidrBlock: aws.String("172.20.0.0/16"), AmazonProvidedIpv6CidrBlock: aws.Bool(true),
	})
	if err != nil {
		return err
	}
	b.builtVPC = aws.ToString(made.Vpc.VpcId)
	more, err := b.api.AssociateVpcCidrBlock(ctx, &ec2.AssociateVpcCidrBlockInput{
		VpcId: made.Vpc.VpcId, CidrBlock: aws.String("172.21.0.0/16"),
	})
	if err != nil {
		return err
	}
	_, err = b.api.DisassociateVpcCidrBlock(ctx, &ec2.DisassociateVpcCidrBlockInput{
		AssociationId: more.CidrBlockAssociation.AssociationId,
	})
	return err
}

func buildSubnet(ctx context.Context, b *bed) error {
	made, err := b.api.CreateSubnet(ctx, &ec2.CreateSubnetInput{
		VpcId: aws.String(b.builtVPC), CidrBlock: aws.String("172.20.1.0/24"), AvailabilityZone: aws.String("us-west-2a"),
		TagSpecifications: []types.TagSpecification{{
			ResourceType: types.ResourceTypeSubnet,
			Tags:         []types.Tag{{Key: aws.String("kubernetes.io/role/cni"), Value: aws.String("1")}},
		}},
	})
	if err != nil {
		return err
	}
	b.builtSubnet = aws.ToString(made.Subnet.SubnetId)
	found, err := b.api.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: []types.Filter{
		{Name: aws.String("vpc-id"), Values: []string{b.builtVPC}},
		{Name: aws.String("availability-zone"), Values: []string{"us-west-2a"}},
		{Name: aws.String("tag:kubernetes.io/role/cni"), Values: []string{"1"}},
	}})
	if err != nil {
		return err
	}
	if len(found.Subnets) != 1 || aws.ToInt32(found.Subnets[0].AvailableIpAddressCount) != 251 {
		return differs("subnets", len(found.Subnets), "1 with 251 free addresses")
	}
	_, err = b.api.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{"subnet-0aaaaaaaaaaaaaaaa"}})
	return refused(err, "InvalidSubnetID.NotFound")
}

func reserve(ctx context.Context, b *bed) error {
	if _, err := b.api.CreateSubnetCidrReservation(ctx, &ec2.CreateSubnetCidrReservationInput{
		SubnetId: aws.String(b.builtSubnet), Cidr: aws.String("172.20.1.128/25"),
		ReservationType: types.SubnetCidrReservationTypePrefix,
	}); err != nil {
		return err
	}
	got, err := b.api.GetSubnetCidrReservations(ctx, &ec2.GetSubnetCidrReservationsInput{SubnetId: aws.String(b.builtSubnet)})
	if err == nil && len(got.SubnetIpv4CidrReservations) != 1 {
		return differs("reservations", len(got.SubnetIpv4CidrReservations), 1)
	}
	return err
}

func securityGroups(ctx context.Context, b *bed) error {
	made, err := b.api.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{
		VpcId: aws.String(b.builtVPC), GroupName: aws.String("pods"), Description: aws.String("pods"),
	})
	if err != nil {
		return err
	}
	rules := []types.IpPermission{{
		IpProtocol: aws.String("tcp"), FromPort: aws.Int32(443), ToPort: aws.Int32(443),
		IpRanges: []types.IpRange{{CidrIp: aws.String("10.0.0.0/8")}},
	}}
	if _, err := b.api.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: made.GroupId, IpPermissions: rules,
	}); err != nil {
		return err
	}
	if _, err := b.api.AuthorizeSecurityGroupEgress(ctx, &ec2.AuthorizeSecurityGroupEgressInput{
		GroupId: made.GroupId, IpPermissions: rules,
	}); err != nil {
		return err
	}
	shown, err := b.api.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*made.GroupId}})
	if err != nil {
		return err
	}
	if got := aws.ToInt32(shown.SecurityGroups[0].IpPermissions[0].FromPort); got != 443 {
		return differs("port", got, 443)
	}
	if _, err := b.api.RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{
		GroupId: made.GroupId, IpPermissions: rules,
	}); err != nil {
		return err
	}
	_, err = b.api.RevokeSecurityGroupIngress(ctx, &ec2.RevokeSecurityGroupIngressInput{
		GroupId: made.GroupId, IpPermissions: rules,
	})
	return err
}

func instanceTypes(ctx context.Context, b *bed) error {
	out, err := b.api.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{
		InstanceTypes: []types.InstanceType{"p4d.24xlarge", "m4.4xlarge"},
	})
	if err != nil {
		return err
	}
	cards := 0
	for _, kind := range out.InstanceTypes {
		if kind.InstanceType == "p4d.24xlarge" {
			cards = len(kind.NetworkInfo.NetworkCards)
		} else if kind.Hypervisor != types.InstanceTypeHypervisorXen {
			return differs("hypervisor of m4.4xlarge", kind.Hypervisor, "xen")
		}
	}
	if cards != 4 {
		return differs("network cards", cards, 4)
	}
	total := 0
	pages := ec2.NewDescribeInstanceTypesPaginator(b.api, &ec2.DescribeInstanceTypesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		total += len(page.InstanceTypes)
	}
	if total < 1000 {
		return differs("types over all pages", total, "more than 1000")
	}
	return nil
}

func runInstances(ctx context.Context, b *bed) error {
	started, err := b.api.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId: aws.String("ami-1"), InstanceType: "p4d.24xlarge", MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		NetworkInterfaces: []types.InstanceNetworkInterfaceSpecification{
			{DeviceIndex: aws.Int32(0), NetworkCardIndex: aws.Int32(0), SubnetId: aws.String(b.builtSubnet)},
			{DeviceIndex: aws.Int32(1), NetworkCardIndex: aws.Int32(2), SubnetId: aws.String(b.builtSubnet),
				Ipv4PrefixCount: aws.Int32(1)},
		},
	})
	if err != nil {
		return err
	}
	instance := started.Instances[0]
	second := instance.NetworkInterfaces[1]
	if aws.ToInt32(second.Attachment.NetworkCardIndex) != 2 || len(second.Ipv4Prefixes) != 1 {
		return differs("second ENI", second.Attachment, "card 2 with a prefix")
	}
	ended, err := b.api.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*instance.InstanceId}})
	if err != nil {
		return err
	}
	if got := ended.TerminatingInstances[0].CurrentState.Name; got != types.InstanceStateNameTerminated &&
		got != types.InstanceStateNameShuttingDown {
		return differs("state", got, "terminated")
	}
	return nil
}
