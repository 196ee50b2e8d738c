package carrier

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/protocol"
)

// pair returns both ends of a websocket: one as a link has it, and the bare other one.
func pair(t *testing.T) (*Conn, *websocket.Conn) {
	t.Helper()
	ours := make(chan *Conn, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{WriteBufferSize: WriteBuffer, WriteBufferPool: &WriteBuffers}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			close(ours)
			return
		}
		ours <- New(ws)
	}))
	t.Cleanup(srv.Close)
	other, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(srv.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	c := <-ours
	t.Cleanup(func() { _ = c.Close(protocol.CloseNormal, ""); _ = other.Close() })
	return c, other
}

func TestMessagesOfEverySizeArriveWhole(t *testing.T) {
	c, other := pair(t)
	for _, n := range []int{0, 1, 4095, 4096, 4097, WriteBuffer, WriteBuffer + 1, MaxFrame} {
		sent := strings.Repeat("m", n)
		if err := other.WriteMessage(websocket.BinaryMessage, []byte(sent)); err != nil {
			t.Fatal(err)
		}
		got, err := c.ReadMessage()
		if err != nil || string(got) != sent {
			t.Fatalf("of %d bytes came %d: %v", n, len(got), err)
		}
		if err := c.WriteMessage(got); err != nil {
			t.Fatal(err)
		}
		if _, back, err := other.ReadMessage(); err != nil || string(back) != sent {
			t.Fatalf("of %d bytes went back %d: %v", n, len(back), err)
		}
	}
}

func TestALongerMessageEndsTheConnection(t *testing.T) {
	c, other := pair(t)
	if err := other.WriteMessage(websocket.BinaryMessage, make([]byte, MaxFrame+1)); err != nil {
		t.Fatal(err)
	}
	if got, err := c.ReadMessage(); !errors.Is(err, websocket.ErrReadLimit) {
		t.Fatalf("%d bytes came, and %v", len(got), err)
	}
}

func TestATextMessageIsRefused(t *testing.T) {
	c, other := pair(t)
	if err := other.WriteMessage(websocket.TextMessage, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if got, err := c.ReadMessage(); err == nil {
		t.Fatalf("%q was taken", got)
	}
}

func TestAClosedPeerIsToldWhyAndOnlyOnce(t *testing.T) {
	c, other := pair(t)
	_ = c.Close(protocol.CloseComeBack, "stopping")
	_ = c.Close(protocol.CloseNormal, "again")
	_, _, err := other.ReadMessage()
	var closed *protocol.CloseError
	if !errors.As(CloseError(err), &closed) || closed.Code != protocol.CloseComeBack || closed.Reason != "stopping" {
		t.Fatal(err)
	}
}
