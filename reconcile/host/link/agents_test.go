package link

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAgentFrames(t *testing.T) {
	own, other := bytesOf("02000000000a"), bytesOf("02000000000b")
	frame := agentFrame(other, Message{Body: []byte("hello")})
	padded := append(slices.Clone(frame), make([]byte, 40)...)
	for _, good := range [][]byte{frame, padded, agentFrame(other, Message{Body: make([]byte, maxAgentMessage)})} {
		if message, ok := parseAgent(good); !ok || !slices.Equal(message.Body, good[agentMessage:][:len(message.Body)]) || len(message.Body) == 0 || !kept(t, agentsBy(own), good) {
			t.Errorf("refused: %x", good)
		}
	}
	if message, _ := parseAgent(padded); string(message.Body) != "hello" {
		t.Errorf("with padding: %q", message)
	}
	for name, bad := range map[string][]byte{
		"cut":                   frame[:len(frame)-1],
		"empty":                 agentFrame(other, Message{}),
		"too long":              agentFrame(other, Message{Body: make([]byte, maxAgentMessage+1)}),
		"another version":       with(frame, frameHeader+3, 2),
		"another protocol":      with(frame, frameHeader, 'x'),
		"another type":          with(frame, 12, 0x88, 0xb6),
		"to us alone":           with(frame, 0, own...),
		"from a group":          with(frame, frameSource, 3),
		"length beyond the end": with(frame, agentLength, 0, 6),
	} {
		if message, ok := parseAgent(bad); ok {
			t.Errorf("%s: %x", name, message)
		}
	}
	if kept(t, agentsBy(own), agentFrame(own, Message{Body: []byte("hello")})) {
		t.Error("the filter keeps our own")
	}
}

// TestTalkToAgents: two agents on a cable hear each other and nothing else, and the last message is still sent at the end.
func TestTalkToAgents(t *testing.T) {
	a, b := cable(t)
	talk := func(s space) (say chan Message, heard chan string, end func()) {
		say, heard = make(chan Message, 1), make(chan string, 1000)
		return say, heard, s.in(t.Context(), func(ctx context.Context) error {
			return TalkToAgents(ctx, "eth", say, func(mac net.HardwareAddr, message Message) { heard <- mac.String() + " " + string(message.Body) })
		})
	}
	sayA, heardA, endA := talk(a)
	sayB, heardB, endB := talk(b)
	if got := until(t, heardB, func() { sayA <- Message{Body: []byte("a")} }); got != macA+" a" {
		t.Errorf("b heard %q", got)
	}
	if got := until(t, heardA, func() { sayB <- Message{Body: []byte("b")} }); got != macB+" b" {
		t.Errorf("a heard %q", got)
	}
	if groups := a.ip("maddress show dev eth"); !strings.Contains(groups, "link  "+agentGroup.String()) {
		t.Errorf("the interface does not take frames of agents: %s", groups)
	}
	drain := func(heard chan string) {
		time.Sleep(20 * time.Millisecond)
		for len(heard) > 0 {
			<-heard
		}
	}
	drain(heardB)
	sayA <- Message{Body: []byte("goodbye")}
	endA()
	if got := next(t, heardB); got != macA+" goodbye" {
		t.Errorf("b heard %q", got)
	}

	// a flood: only a limited number of frames is read
	send(a, typeLocal, slices.Repeat([][]byte{agentFrame(bytesOf("02000000000a"), Message{Body: []byte("flood")})}, 500)...)
	time.Sleep(1200 * time.Millisecond)
	if n := len(heardB); n < agentsPerSecond/2 || n > 3*agentsPerSecond {
		t.Errorf("of 500 frames %d were read", n)
	}
	endB()

	if err := TalkToAgents(t.Context(), "nosuch0", nil, nil); err == nil || !strings.HasPrefix(err.Error(), "cannot exchange agent frames on nosuch0: ") {
		t.Error(err)
	}
}

// TestRate: below the limit, wait does not wait.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rate{most: 20}
		begun := time.Now()
		for range 19 {
			r.wait(t.Context())
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("19 waited %v", took)
		}
		for range 81 {
			r.wait(t.Context())
		}
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("100 took %v", took)
		}
	})
}
