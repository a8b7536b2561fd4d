package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/culvertnet/culvert/nft"
	"github.com/culvertnet/culvert/overlay"
	"github.com/culvertnet/culvert/portmap"
)

// knownRules is what a daemon leaves to the next one, so that it need not read all rules back: docs/decisions/0026-rules-by-generation.md.
type knownRules struct {
	// Boot is the kernel's life, in which cookies of namespaces mean something.
	Boot string `json:"boot"`
	// Program is the file that has compared: another version may compare more.
	Program string                      `json:"program"`
	Places  map[overlay.Place]nft.Known `json:"places"`
}

// readKnown returns what an earlier daemon has kept, if it was the same program in the same life of the kernel.
func readKnown(path string) (map[overlay.Place]nft.Known, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var kept, mine knownRules
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err == nil {
		mine, err = newKnownRules()
	}
	if err != nil {
		return nil, fmt.Errorf("read which rules need no reading: %w", err)
	}
	if kept.Boot != mine.Boot || kept.Program != mine.Program {
		return nil, nil
	}
	return kept.Places, nil
}

// newKnownRules are those of this life and program, empty.
func newKnownRules() (knownRules, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return knownRules{}, err
	}
	file, err := os.Stat("/proc/self/exe")
	if err != nil {
		return knownRules{}, err
	}
	program := fmt.Sprintf("%d bytes of %d", file.Size(), file.ModTime().UnixNano())
	if s, ok := file.Sys().(*syscall.Stat_t); ok {
		program += fmt.Sprintf(", inode %d of %d", s.Ino, s.Dev)
	}
	return knownRules{Boot: strings.TrimSpace(string(boot)), Program: program}, nil
}

// keepKnown writes down for the next daemon which rules are known to be right. What changes later is read by it, for the kernel counts
// changes.
func (k *keeper) keepKnown() {
	if k.opts.Known == "" {
		return
	}
	rules, err := newKnownRules()
	if err == nil {
		rules.Places = k.agent.Known()
		var text []byte
		if text, err = json.Marshal(rules); err == nil {
			err = portmap.ReplaceFile(k.opts.Known, text, 0o600)
		}
	}
	if err != nil {
		k.opts.Log.Warn("the next daemon has to read all rules", "err", err)
	}
}
