package daemon

import (
	"time"

	"github.com/culvertnet/culvert/agent"
)

// Fault is an object of the kernel that could not be made as it should be when it was tried last.
type Fault struct {
	Kind agent.Kind `json:"kind"`
	// Object is in iproute2's or ipvsadm's words; all rules of a namespace are one object.
	Object string `json:"object"`
	// Incident says why, and since when the object fails, for whatever reasons.
	Incident
}

// maxFaults is how many objects of a tenant are told of. The tenant's own error has all of them.
const maxFaults = 20

// faults are those of a try after others. An object that goes on failing has failed since it did first.
func faults(old []Fault, found []agent.Fault, now time.Time) []Fault {
	failing := make(map[string]time.Time, len(old))
	for _, f := range old {
		failing[string(f.Kind)+" "+f.Object] = f.Since
	}
	var out []Fault
	told := make(map[string]bool, len(found))
	for _, f := range found {
		name := string(f.Kind) + " " + f.Object
		if told[name] || len(out) == maxFaults {
			continue
		}
		told[name] = true
		since, ok := failing[name]
		if !ok {
			since = now
		}
		out = append(out, Fault{f.Kind, f.Object, Incident{f.Err.Error(), since}})
	}
	return out
}
