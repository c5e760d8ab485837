package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// trunk joins a branch ENI to a trunk ENI, reads the association back, parts them and removes both.
func trunk(ctx context.Context, b *bed) error {
	ids := make([]*string, 0, 2)
	for _, kind := range []types.NetworkInterfaceCreationType{
		types.NetworkInterfaceCreationTypeTrunk, types.NetworkInterfaceCreationTypeBranch,
	} {
		made, err := b.api.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{
			SubnetId: aws.String(b.subnet), InterfaceType: kind,
		})
		if err != nil {
			return err
		}
		ids = append(ids, made.NetworkInterface.NetworkInterfaceId)
	}
	joined, err := b.api.AssociateTrunkInterface(ctx, &ec2.AssociateTrunkInterfaceInput{
		TrunkInterfaceId: ids[0], BranchInterfaceId: ids[1], VlanId: aws.Int32(7),
	})
	if err != nil {
		return err
	}
	association := joined.InterfaceAssociation.AssociationId
	got, err := b.api.DescribeTrunkInterfaceAssociations(ctx, &ec2.DescribeTrunkInterfaceAssociationsInput{
		AssociationIds: []string{aws.ToString(association)},
	})
	if err != nil {
		return err
	}
	if len(got.InterfaceAssociations) != 1 || aws.ToInt32(got.InterfaceAssociations[0].VlanId) != 7 {
		return differs("associations with VLAN id 7", len(got.InterfaceAssociations), 1)
	}
	if _, err := b.api.DisassociateTrunkInterface(ctx, &ec2.DisassociateTrunkInterfaceInput{AssociationId: association}); err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := b.api.DeleteNetworkInterface(ctx, &ec2.DeleteNetworkInterfaceInput{NetworkInterfaceId: id}); err != nil {
			return err
		}
	}
	return nil
}
