package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"time"
)

// File is the state of one file.
type File struct {
	Path     string
	Exists   bool
	Data     []byte
	Mode     fs.FileMode // permission bits
	UID, GID int
	Changed  time.Time // of the content
}

// Digest names a content: its SHA-256, in hexadecimal digits.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// FileReader looks at files.
type FileReader interface {
	// File is the state of a file. A file that does not exist is no error.
	File(ctx context.Context, path string) (File, error)
	// RootOnly is nil where a file exists and nobody but root can change what the path leads to: the file, and every
	// directory and link on the way. The error says who else can, and how to fix that, or wraps fs.ErrNotExist.
	RootOnly(ctx context.Context, path string) error
}

// FileWriter changes files.
type FileWriter interface {
	// WriteFile replaces a file atomically and durably, and makes missing directories (0755). Owner and group by number.
	WriteFile(ctx context.Context, path string, data []byte, mode fs.FileMode, uid, gid int) error
	// RemoveFile removes a file; it leaves the directory, but for one of drop-ins that is empty then.
	RemoveFile(ctx context.Context, path string) error
	// RemoveTree removes a directory of the agent's own, with all that is in it.
	RemoveTree(ctx context.Context, path string) error
}
