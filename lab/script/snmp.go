package script

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/culvertnet/culvert/netns"
)

// stackStatistics are the counters of a namespace's network stack, by group and name, and how many datagrams are being put
// together from fragments.
func stackStatistics(ns *netns.NS) (map[string]int, error) {
	out := map[string]int{}
	for _, path := range []string{"snmp", "netstat"} {
		text, err := readIn(ns, "/proc/thread-self/net/"+path)
		if err != nil {
			return nil, err
		}
		if err := readPairs(out, string(text)); err != nil {
			return nil, fmt.Errorf("read /proc/net/%s: %w", path, err)
		}
	}
	six, err := readIn(ns, "/proc/thread-self/net/snmp6")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(six)) {
		if words := strings.Fields(line); len(words) == 2 {
			n, err := strconv.ParseInt(words[1], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("read /proc/net/snmp6: %w", err)
			}
			out[words[0]] = int(n)
		}
	}
	text, err := readIn(ns, "/proc/thread-self/net/sockstat")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 2 && words[0] == "FRAG:" {
			out["Frag.inuse"], err = strconv.Atoi(words[2])
		}
	}
	return out, err
}

// readPairs reads lines in pairs: a group with names, the same group with numbers.
func readPairs(into map[string]int, text string) error {
	var names []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if names == nil || names[0] != words[0] {
			names = words
			continue
		}
		if len(names) != len(words) {
			return fmt.Errorf("%s has %d names and %d numbers", words[0], len(names)-1, len(words)-1)
		}
		for i := 1; i < len(words); i++ {
			n, err := strconv.ParseInt(words[i], 10, 64)
			if err != nil {
				return err
			}
			into[strings.TrimSuffix(words[0], ":")+"."+names[i]] = int(n)
		}
		names = nil
	}
	return nil
}
