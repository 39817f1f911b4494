package main

import (
	"encoding/json"
	"os"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// State is one line about a machine. A card of a machine that is off counts as connected when it will be at power-on.
type State struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Powered   bool    `json:"powered"`
	Connected bool    `json:"connected"`
	Removed   bool    `json:"removed,omitempty"`
	At        float64 `json:"at"` // unix time in seconds
}

// Snapshot is one line about a snapshot that was taken: its id, and the id of its machine.
type Snapshot struct {
	Snapshot string `json:"snapshot"`
	VM       string `json:"vm"`
}

// Task is one line about a task that ended, well or not.
type Task struct {
	Task      string `json:"task"`
	Succeeded bool   `json:"succeeded"`
}

// watcher sees every change in the inventory, in its order. It keeps what the guest tools report in step with
// power and network, as tools do, and says what changed.
type watcher struct {
	byMAC map[string]Machine

	mutex sync.Mutex
	said  map[types.ManagedObjectReference]State
	lines *json.Encoder
}

func newWatcher(machines []Machine) *watcher {
	byMAC := make(map[string]Machine, len(machines))
	for _, machine := range machines {
		byMAC[machine.MAC] = machine
	}
	return &watcher{byMAC: byMAC, said: map[types.ManagedObjectReference]State{}, lines: json.NewEncoder(os.Stdout)}
}

// Reference makes the watcher a handler of the simulator's registry.
func (w *watcher) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "Watcher", Value: "watcher"}
}

// PutObject sees a new object.
func (w *watcher) PutObject(_ *simulator.Context, object mo.Reference) {
	if snapshot, ok := object.(*simulator.VirtualMachineSnapshot); ok {
		w.write(Snapshot{Snapshot: snapshot.Self.Value, VM: snapshot.Vm.Value})
	}
}

// UpdateObject sees a changed object; the simulator holds the object's lock meanwhile.
func (w *watcher) UpdateObject(ctx *simulator.Context, object mo.Reference, changes []types.PropertyChange) {
	if task, ok := object.(*mo.Task); ok {
		w.tellTask(task, changes)
		return
	}
	vm, ok := object.(*mo.VirtualMachine)
	if !ok || vm.Config == nil || vm.Guest == nil {
		return
	}
	if vm.Runtime.FaultToleranceState == "" {
		ctx.Update(vm, withoutEmptyStates())
	}
	for _, change := range changes {
		switch change.Name {
		case "runtime.powerState", "config.hardware.device":
			ctx.Update(vm, w.guest(vm))
			w.tell(vm)
			return
		case "name":
			w.tell(vm)
			return
		}
	}
}

// RemoveObject sees an object go.
func (w *watcher) RemoveObject(_ *simulator.Context, reference types.ManagedObjectReference) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if last, ok := w.said[reference]; ok {
		delete(w.said, reference)
		_ = w.lines.Encode(State{ID: last.ID, Name: last.Name, Removed: true, At: unixTime()})
	}
}

func (w *watcher) tell(vm *mo.VirtualMachine) {
	if vm.Runtime.PowerState == "" {
		return
	}
	state := State{ID: vm.Self.Value, Name: vm.Name, Powered: isOn(vm), Connected: isConnected(vm)}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if last, ok := w.said[vm.Self]; ok && last == state {
		return
	}
	w.said[vm.Self] = state
	state.At = unixTime()
	_ = w.lines.Encode(state)
}

func unixTime() float64 {
	return float64(time.Now().UnixMicro()) / 1e6
}

func (w *watcher) tellTask(task *mo.Task, changes []types.PropertyChange) {
	for _, change := range changes {
		if change.Name != "info.state" {
			continue
		}
		switch task.Info.State {
		case types.TaskInfoStateSuccess, types.TaskInfoStateError:
			w.write(Task{Task: task.Self.Value, Succeeded: task.Info.State == types.TaskInfoStateSuccess})
		}
	}
}

func (w *watcher) write(line any) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	_ = w.lines.Encode(line)
}

// guest is what the tools report: nothing at all unless the machine runs.
func (w *watcher) guest(vm *mo.VirtualMachine) []types.PropertyChange {
	state, status, running := "notRunning", types.VirtualMachineToolsStatusToolsNotRunning, "guestToolsNotRunning"
	address, hostName := "", ""
	var system guestSystem
	cards := []types.GuestNicInfo{}
	for _, card := range networkCards(vm) {
		machine, known := w.byMAC[card.MacAddress]
		if !isOn(vm) || !known {
			continue
		}
		state, status, running = "running", types.VirtualMachineToolsStatusToolsOk, "guestToolsRunning"
		system, hostName = guestSystems[machine.Guest], machine.Name
		info := types.GuestNicInfo{MacAddress: card.MacAddress, DeviceConfigId: card.Key, Connected: card.Connectable.Connected}
		if info.Connected {
			info.IpAddress, address = []string{machine.Address}, machine.Address
		}
		cards = append(cards, info)
	}
	return []types.PropertyChange{
		{Name: "guest.guestState", Val: state},
		{Name: "guest.toolsStatus", Val: status},
		{Name: "guest.toolsRunningStatus", Val: running},
		{Name: "guest.guestFamily", Val: system.family},
		{Name: "guest.guestFullName", Val: system.fullName},
		{Name: "guest.hostName", Val: hostName},
		{Name: "guest.ipAddress", Val: address},
		{Name: "guest.net", Val: cards},
		{Name: "summary.guest.toolsStatus", Val: status},
		{Name: "summary.guest.toolsRunningStatus", Val: running},
		{Name: "summary.guest.hostName", Val: hostName},
		{Name: "summary.guest.ipAddress", Val: address},
	}
}

// withoutEmptyStates fills the two enumerations that the simulator leaves empty, which strict clients refuse.
func withoutEmptyStates() []types.PropertyChange {
	tolerance := types.VirtualMachineFaultToleranceStateNotConfigured
	replay := types.VirtualMachineRecordReplayStateInactive
	return []types.PropertyChange{
		{Name: "runtime.faultToleranceState", Val: tolerance},
		{Name: "runtime.recordReplayState", Val: replay},
		{Name: "summary.runtime.faultToleranceState", Val: tolerance},
		{Name: "summary.runtime.recordReplayState", Val: replay},
	}
}

func networkCards(vm *mo.VirtualMachine) []*types.VirtualEthernetCard {
	var cards []*types.VirtualEthernetCard
	for _, device := range vm.Config.Hardware.Device {
		if card, ok := device.(types.BaseVirtualEthernetCard); ok && card.GetVirtualEthernetCard().Connectable != nil {
			cards = append(cards, card.GetVirtualEthernetCard())
		}
	}
	return cards
}

func isOn(vm *mo.VirtualMachine) bool {
	return vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn
}

func isConnected(vm *mo.VirtualMachine) bool {
	for _, card := range networkCards(vm) {
		if isOn(vm) && card.Connectable.Connected || !isOn(vm) && card.Connectable.StartConnected {
			return true
		}
	}
	return false
}
