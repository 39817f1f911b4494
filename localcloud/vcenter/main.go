// A vCenter with the machines that it is told: govmomi's simulator, which speaks vCenter's SOAP API.
//
// It reads one JSON document (see Inventory) from standard input and writes JSON lines to standard output: one for
// every change of a machine's name, power or network (State), every snapshot taken (Snapshot) and every task ended
// (Task), in the order of their effects, and {"url": ...} when it is ready. It ends when standard input does, or when
// its parent is gone.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"time"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

// Inventory is what the simulator is told to be.
type Inventory struct {
	Listen   string    `json:"listen"`
	Username string    `json:"username"`
	Password string    `json:"password"`
	Machines []Machine `json:"machines"`
	// TaskMilliseconds is how long every task takes, once all machines are there.
	TaskMilliseconds int `json:"taskMilliseconds"`
}

// Machine is one virtual machine: powered on, tools running, with one connected network card.
type Machine struct {
	Name    string  `json:"name"`
	Address string  `json:"address"`
	MAC     string  `json:"mac"`
	UUID    string  `json:"uuid"`
	Guest   string  `json:"guest"`
	Disks   []int64 `json:"disks"`
}

type guestSystem struct{ id, family, fullName string }

var guestSystems = map[string]guestSystem{
	"linux":   {"ubuntu64Guest", "linuxGuest", "Ubuntu Linux (64-bit)"},
	"windows": {"windows2019srv_64Guest", "windowsGuest", "Microsoft Windows Server 2019 (64-bit)"},
}

func main() {
	log.SetOutput(io.Discard)
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	stdin := bufio.NewReader(os.Stdin)
	decoder := json.NewDecoder(stdin)
	var inventory Inventory
	if err := decoder.Decode(&inventory); err != nil {
		return fmt.Errorf("the inventory on standard input is not readable: %w", err)
	}

	model := simulator.VPX()
	model.Machine, model.Host = 0, 0
	if err := model.Create(); err != nil {
		return err
	}
	defer model.Remove()
	model.Service.Listen = &url.URL{Host: inventory.Listen, User: url.UserPassword(inventory.Username, inventory.Password)}
	server := model.Service.NewServer()
	defer server.Close()

	watcher := newWatcher(inventory.Machines)
	model.Service.Context.Map.AddHandler(watcher)
	if err := createMachines(model.Service, inventory.Machines); err != nil {
		return err
	}
	if inventory.TaskMilliseconds > 0 {
		// Without the hand-off, objects can be read while a task on them runs.
		delays := map[string]int{"LockHandoff": 0}
		simulator.TaskDelay = simulator.DelayConfig{Delay: inventory.TaskMilliseconds, MethodDelay: delays}
	}
	watcher.write(map[string]string{"url": (&url.URL{Scheme: "http", Host: server.URL.Host, Path: server.URL.Path}).String()})
	waitForTheEnd(decoder.Buffered(), stdin)
	return nil
}

// waitForTheEnd returns when the pipe from the parent is closed. The parent's id is looked at as well: a process
// that the parent forked can keep the pipe open.
func waitForTheEnd(rest ...io.Reader) {
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, io.MultiReader(rest...))
		close(closed)
	}()
	parent := os.Getppid()
	for {
		select {
		case <-closed:
			return
		case <-time.After(500 * time.Millisecond):
			if os.Getppid() != parent {
				return
			}
		}
	}
}

// createMachines makes the machines one after the other, so that ids follow the inventory's order at every start.
func createMachines(service *simulator.Service, machines []Machine) error {
	ctx := context.Background()
	client, err := vim25.NewClient(ctx, service)
	if err != nil {
		return err
	}
	place, err := findPlace(ctx, client)
	if err != nil {
		return err
	}
	for _, machine := range machines {
		if err := place.create(ctx, client, machine); err != nil {
			return fmt.Errorf("%s: %w", machine.Name, err)
		}
	}
	return nil
}

// place is where machines are put: the folder, pool and network of the model's one cluster.
type place struct {
	folder  *object.Folder
	pool    *object.ResourcePool
	network types.BaseVirtualDeviceBackingInfo
}

func findPlace(ctx context.Context, client *vim25.Client) (*place, error) {
	finder := find.NewFinder(client)
	datacenter, err := finder.DefaultDatacenter(ctx)
	if err != nil {
		return nil, err
	}
	finder.SetDatacenter(datacenter)
	folders, err := datacenter.Folders(ctx)
	if err != nil {
		return nil, err
	}
	pool, err := finder.DefaultResourcePool(ctx)
	if err != nil {
		return nil, err
	}
	network, err := finder.Network(ctx, "DC0_DVPG0")
	if err != nil {
		return nil, err
	}
	backing, err := network.EthernetCardBackingInfo(ctx)
	return &place{folders.VmFolder, pool, backing}, err
}

func (p *place) create(ctx context.Context, client *vim25.Client, machine Machine) error {
	system, known := guestSystems[machine.Guest]
	if !known {
		return fmt.Errorf("unknown guest %q", machine.Guest)
	}
	spec := types.VirtualMachineConfigSpec{
		Name:         machine.Name,
		GuestId:      system.id,
		Uuid:         machine.UUID,
		InstanceUuid: machine.UUID,
		Files:        &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0]"},
	}
	var err error
	if spec.DeviceChange, err = p.devices(machine); err != nil {
		return err
	}
	task, err := p.folder.CreateVM(ctx, spec, p.pool, nil)
	if err != nil {
		return err
	}
	info, err := task.WaitForResult(ctx, nil)
	if err != nil {
		return err
	}
	task, err = object.NewVirtualMachine(client, info.Result.(types.ManagedObjectReference)).PowerOn(ctx)
	if err != nil {
		return err
	}
	return task.Wait(ctx)
}

func (p *place) devices(machine Machine) ([]types.BaseVirtualDeviceConfigSpec, error) {
	var devices object.VirtualDeviceList
	controller, err := devices.CreateSCSIController("pvscsi")
	if err != nil {
		return nil, err
	}
	devices = append(devices, controller)
	for number, size := range machine.Disks {
		file := fmt.Sprintf("[LocalDS_0] %s/disk%d.vmdk", machine.Name, number+1)
		disk := devices.CreateDisk(controller.(types.BaseVirtualController), types.ManagedObjectReference{}, file)
		disk.CapacityInKB = size / 1024
		devices = append(devices, disk)
	}
	card, err := devices.CreateEthernetCard("vmxnet3", p.network)
	if err != nil {
		return nil, err
	}
	settings := card.(types.BaseVirtualEthernetCard).GetVirtualEthernetCard()
	settings.AddressType = string(types.VirtualEthernetCardMacTypeManual)
	settings.MacAddress = machine.MAC
	settings.Connectable = &types.VirtualDeviceConnectInfo{StartConnected: true, AllowGuestControl: true}
	return append(devices, card).ConfigSpec(types.VirtualDeviceConfigSpecOperationAdd)
}
