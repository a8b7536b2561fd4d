package trigger

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"strings"

	"github.com/culvertnet/culvert/netns"
)

// ServiceDigests compares the IPVS services of namespaces with what they were: the kernel tells nobody of them. It is not for concurrent
// use.
type ServiceDigests struct {
	seed maphash.Seed
	last map[string]uint64 // by name of the namespace
}

// NewServiceDigests knows no namespace.
func NewServiceDigests() *ServiceDigests {
	return &ServiceDigests{seed: maphash.MakeSeed(), last: make(map[string]uint64)}
}

// Changed reports whether services or destinations of the namespace are others than at the last call. The first call for a
// name says yes: what changed between its caller's last look and now is in no digest.
func (s *ServiceDigests) Changed(ns *netns.NS) (bool, error) {
	var table []byte
	err := ns.Do(func() (err error) {
		// Not /proc/net: that is the first thread's namespace, not this one's.
		table, err = os.ReadFile("/proc/thread-self/net/ip_vs")
		if errors.Is(err, fs.ErrNotExist) {
			return nil // no IPVS (yet)
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("read the IPVS services of %s: %w", ns.Name(), err)
	}
	now := maphash.String(s.seed, lasting(string(table)))
	was, known := s.last[ns.Name()]
	s.last[ns.Name()] = now
	return !known || was != now, nil
}

// lasting is the table without what changes with every connection: the last two columns of a destination (ip_vs_ctl.c,
// ip_vs_info_seq_show).
func lasting(table string) string {
	var b strings.Builder
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) == 6 && fields[0] == "->" {
			fields = fields[:4]
		}
		b.WriteString(strings.Join(fields, " ") + "\n")
	}
	return b.String()
}
