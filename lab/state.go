package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// StateDir holds a folder per lab that is up: its fleet, the lock of the last [Lab.Apply], and what cannot be read off the
// kernel. A restart of the machine empties it, as it does the namespaces.
const StateDir = "/run/culvert-lab"

const (
	fleetFile = "fleet.yaml"
	lockFile  = "fleet.lock.yaml"
	stateFile = "state.json"
)

// firstEdge is the transfer number of the first edge; the lower ones are the internet's own.
const firstEdge = 10

// state is what a lab remembers besides its fleet.
type state struct {
	Options Options `json:"options"`
	// Edges numbers the uplinks, from firstEdge on, for life.
	Edges map[string]byte `json:"edges"`
	// Unplugged holds the VMs that have no NIC at the moment.
	Unplugged map[string]bool `json:"unplugged"`
}

// number is the transfer number of an edge, a new one for a new edge.
func (s *state) number(edge string) (byte, error) {
	if n, ok := s.Edges[edge]; ok {
		return n, nil
	}
	used := map[byte]bool{}
	for _, n := range s.Edges {
		used[n] = true
	}
	for n := byte(firstEdge); n < 255; n++ {
		if !used[n] {
			s.Edges[edge] = n
			return n, nil
		}
	}
	return 0, errors.New("a lab has room for 245 edges")
}

func (l *Lab) dir() string { return filepath.Join(StateDir, l.opts.Name) }

func (l *Lab) saveState() error {
	data, err := json.MarshalIndent(l.state, "", "  ")
	if err != nil {
		return fmt.Errorf("write the lab's state: %w", err)
	}
	return l.save(stateFile, append(data, '\n'))
}

// saveFleet writes the fleet that the hardware is for, in the operator's language.
func (l *Lab) saveFleet(fleet *config.Fleet) error {
	data, err := fleet.Encode()
	if err != nil {
		return fmt.Errorf("write the lab's fleet: %w", err)
	}
	return l.save(fleetFile, data)
}

// saveLock writes the lock that was applied.
func (l *Lab) saveLock(lock *portmap.Lock) error {
	data, err := portmap.Encode(lock)
	if err != nil {
		return fmt.Errorf("write the lab's lock: %w", err)
	}
	return l.save(lockFile, data)
}

// save replaces a file of the state folder in one step, so that a reader never sees half of it.
func (l *Lab) save(name string, data []byte) error {
	path := filepath.Join(l.dir(), name)
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return fmt.Errorf("write the lab's state: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the lab's state: %w", err)
	}
	return nil
}

// load reads the state folder back.
func (l *Lab) load() error {
	data, err := os.ReadFile(filepath.Join(l.dir(), stateFile))
	if err != nil {
		return fmt.Errorf("read the lab's state: %w", err)
	}
	if err := json.Unmarshal(data, &l.state); err != nil {
		return fmt.Errorf("read the lab's state: %w", err)
	}
	if l.fleet, err = config.Load(filepath.Join(l.dir(), fleetFile)); err != nil {
		return fmt.Errorf("read the lab's fleet: %w", err)
	}
	if l.lock, err = portmap.ReadFile(filepath.Join(l.dir(), lockFile)); err != nil {
		return fmt.Errorf("read the lab's lock: %w", err)
	}
	return nil
}
