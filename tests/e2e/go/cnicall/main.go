// Command cnicall calls the installed network as other runtimes do, through libcni itself.
//
//	cnicall MODE CONFDIR BINDIR NETNS
//
// MODE crio: ADD, at once CHECK (also where the file says disableCheck), DEL, as CRI-O does. MODE all: the verbs of CNI
// 1.1 but GC. MODE gc: STATUS, ADD, then GC with the attachments that standard input lists (JSON: [{"containerID",
// "ifname"}]) and with this program's own, then GC without its own, as a runtime that has lost it. Prints one line per call;
// status 1 at the first that fails.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
)

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

func main() {
	mode, confDir, binDir, netns := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	path := confDir + "/10-aws.conflist"
	raw, err := os.ReadFile(path)
	if err != nil {
		fail("read", err)
	}
	whole := map[string]any{}
	if err := json.Unmarshal(raw, &whole); err != nil {
		fail("parse", err)
	}
	delete(whole, "disableCheck")
	kept := []any{}
	for _, plugin := range whole["plugins"].([]any) {
		// CHECK of the reference plugin bandwidth (1.1.1) ends in a nil pointer when a pod has no limits: one reason why
		// the installed file says disableCheck.
		if plugin.(map[string]any)["type"] != "bandwidth" {
			kept = append(kept, plugin)
		}
	}
	whole["plugins"] = kept
	if mode != "crio" {
		// Only our own plugin: the reference plugins of Debian do not speak 1.1.
		whole["cniVersion"] = "1.1.0"
		whole["plugins"] = whole["plugins"].([]any)[:1]
	}
	raw, _ = json.Marshal(whole)
	list, err := libcni.ConfListFromBytes(raw)
	if err != nil {
		fail("conflist", err)
	}
	cni := libcni.NewCNIConfigWithCacheDir([]string{binDir}, os.TempDir()+"/cnicall-cache", nil)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	runtime := &libcni.RuntimeConf{
		ContainerID: fmt.Sprintf("cnicall-%s-%d", mode, os.Getpid()),
		NetNS:       netns,
		IfName:      "eth0",
		Args: [][2]string{
			{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", "cnicall-" + mode},
			{"K8S_POD_INFRA_CONTAINER_ID", "cnicall"}, {"K8S_POD_UID", "00000000-0000-0000-0000-000000000000"},
		},
		CapabilityArgs: map[string]any{"portMappings": []any{}},
	}
	if mode != "crio" {
		if err := cni.GetStatusNetworkList(ctx, list); err != nil {
			fail("STATUS", err)
		}
		fmt.Println("STATUS ok")
	}
	result, err := cni.AddNetworkList(ctx, list, runtime)
	if err != nil {
		fail("ADD", err)
	}
	text, _ := json.Marshal(result)
	fmt.Println("ADD", string(text))
	if mode == "gc" {
		collect(ctx, list, binDir, runtime)
		return
	}
	if err := cni.CheckNetworkList(ctx, list, runtime); err != nil {
		fail("CHECK", err)
	}
	fmt.Println("CHECK ok")
	if mode == "all" {
		if again, err := cni.AddNetworkList(ctx, list, runtime); err != nil {
			fail("ADD again", err)
		} else if repeated, _ := json.Marshal(again); string(repeated) != string(text) {
			fail("ADD again", fmt.Errorf("other result: %s", repeated))
		}
		fmt.Println("ADD again ok")
	}
	for _, what := range []string{"DEL", "DEL again"} {
		if err := cni.DelNetworkList(ctx, list, runtime); err != nil {
			fail(what, err)
		}
		fmt.Println(what, "ok")
	}
}

// collect calls GC twice: the first must leave everything, the second must take what only the first one listed.
func collect(ctx context.Context, list *libcni.NetworkConfigList, binDir string, own *libcni.RuntimeConf) {
	var valid []types.GCAttachment
	if err := json.NewDecoder(os.Stdin).Decode(&valid); err != nil {
		fail("standard input", err)
	}
	// A cache of its own, empty: else libcni itself sends a DEL for what is not listed, before the plugin is asked for GC.
	cni := libcni.NewCNIConfigWithCacheDir([]string{binDir}, os.TempDir()+"/cnicall-gc-cache", nil)
	mine := types.GCAttachment{ContainerID: own.ContainerID, IfName: own.IfName}
	if err := cni.GCNetworkList(ctx, list, &libcni.GCArgs{ValidAttachments: append([]types.GCAttachment{mine}, valid...)}); err != nil {
		fail("GC", err)
	}
	fmt.Println("GC ok")
	check := libcni.NewCNIConfigWithCacheDir([]string{binDir}, os.TempDir()+"/cnicall-cache", nil)
	if err := check.CheckNetworkList(ctx, list, own); err != nil {
		fail("CHECK after GC", err)
	}
	fmt.Println("CHECK ok")
	if err := cni.GCNetworkList(ctx, list, &libcni.GCArgs{ValidAttachments: valid}); err != nil {
		fail("GC without own", err)
	}
	fmt.Println("GC without own ok")
	if err := check.CheckNetworkList(ctx, list, own); err == nil {
		fail("CHECK after the second GC", fmt.Errorf("passed, though the attachment was not listed"))
	}
	fmt.Println("CHECK refused")
}
