package failover

import (
	"bytes"
	"sync"
	"testing/synctest"
	"time"
)

// stage is a lock on the fake host of a test. The test holds the lock except while pass or give runs, and the goroutines under
// test take it then.
type stage struct{ sync.Mutex }

// pass releases the stage and lets time pass.
func (s *stage) pass(d time.Duration) {
	s.Unlock()
	defer s.Lock()
	time.Sleep(d)
	synctest.Wait()
}

// give releases the stage, sends a value, and waits until all goroutines block again.
func give[T any](s *stage, to chan<- T, what T) {
	s.Unlock()
	defer s.Lock()
	to <- what
	synctest.Wait()
}

// do runs a function with the lock held, in a goroutine under test.
func (s *stage) do(what func()) {
	s.Lock()
	defer s.Unlock()
	what()
}

// locked is a log that takes the lock for each write.
type locked struct {
	*stage
	log *bytes.Buffer
}

func (l locked) Write(line []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.log.Write(line)
}
