// sdkcheck exercises the lab's EC2 and IMDS endpoints with the AWS SDK for Go v2, as the original CNI does, and
// prints one line for each check. Exit status 1 if any differs from what EC2 would answer.
//
// The instance named by -instance must be of a type with at least 3 ENIs and prefixes (m5.large), alone in its subnet.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"
)

// bed is what the checks share: clients, and the ids of what earlier checks made.
type bed struct {
	api      *ec2.Client
	metadata *imds.Client
	instance string

	vpc, subnet, group, primaryMAC string
	builtVPC, builtSubnet          string
	eni, attachment                string
	prefixes                       []string
}

type check struct {
	name string
	run  func(context.Context, *bed) error
}

func main() {
	ec2URL := flag.String("ec2", "", "URL of the EC2 endpoint")
	imdsURL := flag.String("imds", "", "URL of the IMDS endpoint")
	instance := flag.String("instance", "", "id of the instance that IMDS is of")
	flag.Parse()
	if *ec2URL == "" || *imdsURL == "" || *instance == "" {
		flag.Usage()
		os.Exit(2)
	}
	metadata := imds.New(imds.Options{Endpoint: *imdsURL, ClientEnableState: imds.ClientEnabled})
	role := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = metadata })
	api := ec2.New(ec2.Options{
		BaseEndpoint: ec2URL,
		Region:       "us-west-2",
		Credentials:  aws.NewCredentialsCache(role),
		Retryer:      retry.AddWithMaxAttempts(retry.NewStandard(), 1),
	})
	b := &bed{api: api, metadata: metadata, instance: *instance}
	failed := 0
	for _, c := range append(append(imdsChecks(), buildChecks()...), eniChecks()...) {
		if err := c.run(context.Background(), b); err != nil {
			failed++
			fmt.Printf("FAIL %s: %v\n", c.name, err)
			continue
		}
		fmt.Printf("ok   %s\n", c.name)
	}
	fmt.Printf("%d failed\n", failed)
	if failed > 0 {
		os.Exit(1)
	}
}

func differs(what string, got, want any) error {
	return fmt.Errorf("%s: %v, expected %v", what, got, want)
}

// refused says whether err is EC2's error with this code.
func refused(err error, code string) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return differs("error", err, code)
	}
	if api.ErrorCode() != code {
		return differs("error code", api.ErrorCode()+" ("+api.ErrorMessage()+")", code)
	}
	return nil
}

func same(what string, got, want []string) error {
	if strings.Join(got, " ") != strings.Join(want, " ") {
		return differs(what, got, want)
	}
	return nil
}
