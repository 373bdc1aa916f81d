package failover

import (
	"bytes"
	"sync"
	"testing/synctest"
	"time"
)

// stage is a host that tests set: the test and the goroutines under test have it in turn. The test has it but for the
// time that it lets pass.
type stage struct{ sync.Mutex }

// pass lets time pass.
func (s *stage) pass(d time.Duration) {
	s.Unlock()
	defer s.Lock()
	time.Sleep(d)
	synctest.Wait()
}

// give sends something, and waits until all that follows at once is done.
func give[T any](s *stage, to chan<- T, what T) {
	s.Unlock()
	defer s.Lock()
	to <- what
	synctest.Wait()
}

// do is a turn of a goroutine under test.
func (s *stage) do(what func()) {
	s.Lock()
	defer s.Unlock()
	what()
}

// locked is a log that is written in turn.
type locked struct {
	*stage
	log *bytes.Buffer
}

func (l locked) Write(line []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.log.Write(line)
}
