package nft

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Known says that the rules of a namespace have been read and were what is wanted. As long as nobody makes another generation of rules
// there, they still are (docs/decisions/0026-rules-by-generation.md).
type Known struct {
	// Namespace is its cookie (SO_NETNS_COOKIE, Linux 5.14): no other has it before the next boot.
	Namespace uint64 `json:"namespace"`
	// Generation is the kernel's number of the rules that were read (NFTA_GEN_ID). Each transaction counts it up.
	Generation uint32 `json:"generation"`
	// Wanted is the digest of the tables that were wanted, Devices of the devices that they name, with their indexes.
	Wanted  string `json:"wanted"`
	Devices string `json:"devices"`
}

// Know returns what can be known after the tables have been found equal to the last that [Conn.Observe] returned; false if this kernel
// has no cookies.
func (c *Conn) Know(desired []Table) (Known, bool) {
	k := c.now(desired)
	k.Generation = c.observed
	return k, k.Namespace != 0
}

// Still reports whether the rules of the namespace are the tables, by what was known: nothing of what was compared then has changed. What
// the generation does not say is read: chains of netdev that went with their devices, and whether devices have been made anew.
func (c *Conn) Still(k Known, desired []Table) (bool, error) {
	now := c.now(desired)
	if now.Namespace == 0 || now.Namespace != k.Namespace || now.Wanted != k.Wanted || now.Devices != k.Devices {
		return false, nil
	}
	for _, t := range desired {
		if t.Family != NetdevFamily {
			continue
		}
		there, err := c.chains(NetdevFamily)
		if err != nil {
			return false, err
		}
		if !evolves(Table{Family: NetdevFamily, Chains: there}, t) || len(there) != len(t.Chains) {
			return false, nil
		}
	}
	// The number comes last: what changes while the others are read changes it.
	generation, err := c.reader.GetGen()
	if err != nil {
		return false, fmt.Errorf("read the generation of the rules: %w", err)
	}
	return generation.ID == k.Generation, nil
}

// now is all but the generation.
func (c *Conn) now(desired []Table) Known {
	devices := sha256.New()
	for _, name := range named(desired) {
		index, _ := c.index(name) // 0 for one that is missing
		fmt.Fprintln(devices, name, index)
	}
	return Known{Namespace: c.cookie(), Wanted: digest(desired), Devices: hex.EncodeToString(devices.Sum(nil)[:8])}
}

// named are the devices that the tables name.
func named(tables []Table) []string {
	var out []string
	for _, t := range tables {
		for _, c := range t.Chains {
			if c.Base != nil && c.Base.Device != "" {
				out = append(out, c.Base.Device)
			}
			for _, r := range c.Rules {
				if r.device != "" {
					out = append(out, r.device)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// digest identifies all that [Diff] compares.
func digest(tables []Table) string {
	h := sha256.New()
	for _, t := range tables {
		fmt.Fprintln(h, "table", t.Family, len(t.Counters), len(t.Sets), len(t.Chains))
		for _, c := range t.Counters {
			fmt.Fprintln(h, c.Name)
		}
		for _, s := range t.Sets {
			s.digest(h)
		}
		for _, c := range t.Chains {
			fmt.Fprintln(h, c.Name, baseText(c), len(c.Rules))
			for _, r := range c.Rules {
				fmt.Fprintln(h, r.Digest)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (s Set) digest(h hash.Hash) {
	fmt.Fprintln(h, s.Name, s.Key, s.Data, s.Range, s.Timeout, s.room(), len(s.Elements))
	var line []byte
	for _, k := range s.sorted() {
		// All keys of a set are of one length, and so is all data.
		line = append(append(line[:0], k...), s.Elements[k]...)
		h.Write(line)
	}
}

// cookie is the namespace's; 0 if the kernel has none.
func (c *Conn) cookie() (cookie uint64) {
	_ = c.control(func(fd int) error {
		var err error
		cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		return err
	})
	return cookie
}

// index finds the index of a device of the namespace.
func (c *Conn) index(device string) (int, error) {
	request, err := unix.NewIfreq(device)
	if err == nil {
		// Any socket of the namespace can be asked, and it takes no list of all devices.
		err = c.control(func(fd int) error { return unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request) })
	}
	if err != nil {
		return 0, fmt.Errorf("find device %s: %w", device, err)
	}
	return int(request.Uint32()), nil
}

func (c *Conn) control(f func(fd int) error) error { return control(c.writer, f) }

// control runs f with a socket's descriptor.
func control(c *netlink.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
