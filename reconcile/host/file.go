package host

import (
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
