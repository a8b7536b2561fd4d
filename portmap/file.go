package portmap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ReadFile reads the lock file. A file that does not exist is an empty lock.
func ReadFile(path string) (*Lock, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return NewLock(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read lock file: %w", err)
	}
	return Decode(path, data)
}

// WriteFile writes the lock file by [ReplaceFile].
func WriteFile(path string, lock *Lock) error {
	data, err := Encode(lock)
	if err != nil {
		return err
	}
	if err := ReplaceFile(path, data, 0o644); err != nil {
		return fmt.Errorf("write lock file %s: %w", path, err)
	}
	return nil
}

// ReplaceFile replaces a file at once, or leaves the old one as it is and returns an error: the new content is on disk before it
// takes the file's name. A symbolic link stays one. The mode is that of a file that exists, else the one given.
func ReplaceFile(path string, data []byte, mode fs.FileMode) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

// syncDir makes a rename last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
