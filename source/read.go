package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/culvertnet/culvert/config"
	"github.com/culvertnet/culvert/portmap"
)

// Read reads a fleet and its lock, and proves that they belong together. Every error is one of the files': problems of the
// fleet document are a [config.Problems].
func Read(fleetPath, lockPath string) (Snapshot, error) {
	t, err := readTexts(fleetPath, lockPath)
	if err != nil {
		return Snapshot{}, err
	}
	return t.parse(fleetPath, lockPath)
}

// ReadFleet reads a fleet without its lock.
func ReadFleet(path string) (*config.Fleet, error) {
	fleet, err := config.Load(path)
	return fleet, named(err)
}

// named adds the remedy for a fleet that is not where it was looked for.
func named(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%w; name the fleet's file with -f", err)
	}
	return err
}

// texts are the contents of both files.
type texts struct{ fleet, lock []byte }

func readTexts(fleetPath, lockPath string) (texts, error) {
	fleet, err := os.ReadFile(fleetPath)
	if err != nil {
		return texts{}, named(fmt.Errorf("load fleet: %w", err))
	}
	lock, err := os.ReadFile(lockPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// What is wrong with the fleet goes first.
		if _, err := config.Parse(fleetPath, fleet); err != nil {
			return texts{}, err
		}
		return texts{}, fmt.Errorf("there is no %s, which says who owns which ports: copy it from where the fleet is kept, or name it with --lock; "+
			"only a new fleet gets one by `culvert allocate -f %s`", lockPath, fleetPath)
	case err != nil:
		return texts{}, fmt.Errorf("read lock file: %w", err)
	}
	return texts{fleet, lock}, nil
}

// generation is the digest of both texts; a text's own digest keeps the border between them.
func (t texts) generation() string {
	fleet, lock := sha256.Sum256(t.fleet), sha256.Sum256(t.lock)
	both := sha256.Sum256(append(fleet[:], lock[:]...))
	return hex.EncodeToString(both[:6])
}

func (t texts) parse(fleetPath, lockPath string) (Snapshot, error) {
	fleet, err := config.Parse(fleetPath, t.fleet)
	if err != nil {
		return Snapshot{}, err
	}
	lock, err := portmap.Decode(lockPath, t.lock)
	if err != nil {
		return Snapshot{}, err
	}
	if err := portmap.Prove(lock, fleet); err != nil {
		return Snapshot{}, fmt.Errorf("%s does not go with %s; run `culvert allocate` where the fleet is kept, and copy both to the hosts:\n%w", lockPath, fleetPath, err)
	}
	return Snapshot{Fleet: fleet, Lock: lock, Generation: t.generation()}, nil
}
