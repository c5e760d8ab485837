package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func (b *bed) read(ctx context.Context, path string) (string, error) {
	out, err := b.metadata.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
	if err != nil {
		return "", err
	}
	defer out.Content.Close()
	data, err := io.ReadAll(out.Content)
	return string(data), err
}

func (b *bed) field(ctx context.Context, mac, name string) ([]string, error) {
	text, err := b.read(ctx, "network/interfaces/macs/"+mac+"/"+name)
	return strings.Fields(text), err
}

// absent: the path answers 404, which the original takes for an empty list.
func (b *bed) absent(ctx context.Context, path string) error {
	text, err := b.read(ctx, path)
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusNotFound {
		return nil
	}
	return differs(path, fmt.Sprintf("%q, %v", text, err), "404")
}

func imdsChecks() []check {
	return []check{
		{"imds identity document", func(ctx context.Context, b *bed) error {
			out, err := b.metadata.GetInstanceIdentityDocument(ctx, nil)
			if err != nil {
				return err
			}
			if out.Region != "us-west-2" || out.InstanceID != b.instance {
				return differs("document", out.Region+" "+out.InstanceID, "us-west-2 "+b.instance)
			}
			return nil
		}},
		{"imds region", func(ctx context.Context, b *bed) error {
			out, err := b.metadata.GetRegion(ctx, nil)
			if err == nil && out.Region != "us-west-2" {
				return differs("region", out.Region, "us-west-2")
			}
			return err
		}},
		{"imds iam info", func(ctx context.Context, b *bed) error {
			out, err := b.metadata.GetIAMInfo(ctx, nil)
			if err == nil && out.Code != "Success" {
				return differs("code", out.Code, "Success")
			}
			return err
		}},
		{"imds instance fields", instanceFields},
		{"imds fields of the primary ENI", primaryFields},
		{"imds what is not there", func(ctx context.Context, b *bed) error {
			paths := []string{"ipv6", "tags/instance", "no/such/path"}
			for _, name := range []string{"ipv6s", "ipv4-prefix", "ipv6-prefix", "network-card"} {
				paths = append(paths, "network/interfaces/macs/"+b.primaryMAC+"/"+name)
			}
			for _, path := range paths {
				if err := b.absent(ctx, path); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}

func instanceFields(ctx context.Context, b *bed) error {
	for path, want := range map[string]string{
		"instance-id": b.instance, "instance-type": "m5.large", "placement/region": "us-west-2",
	} {
		if got, err := b.read(ctx, path); err != nil || got != want {
			return differs(path, fmt.Sprint(got, err), want)
		}
	}
	for _, path := range []string{"placement/availability-zone", "local-ipv4", "mac", "local-hostname", "security-groups"} {
		if got, err := b.read(ctx, path); err != nil || got == "" {
			return differs(path, fmt.Sprintf("%q %v", got, err), "a value")
		}
	}
	var err error
	b.primaryMAC, err = b.read(ctx, "mac")
	return err
}

func primaryFields(ctx context.Context, b *bed) error {
	macs, err := b.read(ctx, "network/interfaces/macs")
	if err != nil {
		return err
	}
	if err := same("macs", strings.Fields(macs), []string{b.primaryMAC + "/"}); err != nil {
		return err
	}
	described, err := b.api.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{b.instance}})
	if err != nil {
		return err
	}
	eni := described.Reservations[0].Instances[0].NetworkInterfaces[0]
	b.vpc, b.subnet, b.group = aws.ToString(eni.VpcId), aws.ToString(eni.SubnetId), aws.ToString(eni.Groups[0].GroupId)
	vpcs, err := b.api.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{VpcIds: []string{b.vpc}})
	if err != nil {
		return err
	}
	var cidrs []string
	for _, item := range vpcs.Vpcs[0].CidrBlockAssociationSet {
		cidrs = append(cidrs, aws.ToString(item.CidrBlock))
	}
	for name, want := range map[string][]string{
		"interface-id":         {aws.ToString(eni.NetworkInterfaceId)},
		"device-number":        {"0"},
		"mac":                  {aws.ToString(eni.MacAddress)},
		"subnet-id":            {b.subnet},
		"vpc-id":               {b.vpc},
		"security-group-ids":   {b.group},
		"local-ipv4s":          {aws.ToString(eni.PrivateIpAddress)},
		"vpc-ipv4-cidr-blocks": cidrs,
		"vpc-ipv4-cidr-block":  cidrs[:1],
	} {
		got, err := b.field(ctx, b.primaryMAC, name)
		if err != nil {
			return err
		}
		if err := same(name, got, want); err != nil {
			return err
		}
	}
	_, err = b.field(ctx, b.primaryMAC, "subnet-ipv4-cidr-block")
	return err
}
