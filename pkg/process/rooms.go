package process

import (
	"errors"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/attune/attune/pkg/sandbox"
)

const (
	// spareRooms is how many rooms are made in advance: to make one takes about as long as to start a program.
	spareRooms = 4
	// usedRooms is how many rooms wait that a program has left as it found them. From manyRooms on one of them serves a
	// program that its starter does not fit, rather than one that was made in advance.
	usedRooms = 64
	manyRooms = usedRooms / 2
	// roomUses is how many programs have a room one after the other.
	roomUses = 100
)

// retryRoom is how long nothing is made in advance after a room could not be made.
const retryRoom = time.Second

// errNoSandbox is returned when a program is to have a sandbox and its launcher has none.
var errNoSandbox = errors.New("the launcher has no sandbox")

// room is a namespace in which one program runs. A nil room is none.
type room struct {
	*sandbox.Room
	mark mark // of its first process, and of the programs that come into it
	uses int  // programs that had it
	over bool // it was killed, and ends

	starter *sandbox.Starter // of its programs; nil before the first
}

// rooms are those that wait for a program.
type rooms struct {
	spare   chan *room // made in advance
	taken   atomic.Bool
	leaving *sync.WaitGroup // rooms that are being dissolved

	mu   sync.Mutex // guards the field below
	used []*room    // left as they were found, the longest ago first
}

func newRooms() *rooms {
	return &rooms{spare: make(chan *room, spareRooms), leaving: &sync.WaitGroup{}}
}

// prepareRooms keeps rooms ready.
func (l *Launcher) prepareRooms() {
	for {
		r, err := l.newRoom()
		if err != nil {
			l.log.Warn("no room could be made in advance", slog.Any("error", err))
			if !l.pause(retryRoom) {
				return
			}
			continue
		}
		select {
		case l.rooms.spare <- r:
		case <-l.stop:
			l.leave(r)
			return
		}
	}
}

// pause waits, and tells whether the launcher is still there.
func (l *Launcher) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.stop:
		return false
	}
}

// newRoom makes a room, whose first process has a mark like a program: a guard kills it, and with it everything.
func (l *Launcher) newRoom() (*room, error) {
	r := &room{}
	l.mu.Lock()
	r.mark = l.nextMark()
	l.mu.Unlock()
	var first int
	var err error
	r.Room, err = l.sandbox.NewRoom(func(pid int) {
		first = pid
		l.mu.Lock()
		l.mains[pid] = struct{}{}
		l.mu.Unlock()
		r.mark.set(pid)
	})
	if err != nil {
		l.mu.Lock()
		delete(l.mains, first)
		l.mu.Unlock()
		return nil, err
	}
	return r, nil
}

// house gives a run a room, if its program has a user of its own: it is marked as the room is.
func (l *Launcher) house(r *run) (err error) {
	if l.sandbox == nil {
		return errNoSandbox
	}
	if r.spec.Sandbox.User == 0 || !l.sandbox.Rooms() {
		return nil
	}
	if r.room, err = l.takeRoom(r.spec.Sandbox); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.runs, r.mark)
	r.mark = r.room.mark
	l.runs[r.mark] = r
	return nil
}

// takeRoom gives a room that waits and shows what rooms have to show by now, or a fresh one.
func (l *Launcher) takeRoom(p *sandbox.Policy) (*room, error) {
	l.rooms.taken.Store(true)
	for {
		r := l.rooms.next(p)
		if r == nil {
			return l.newRoom()
		}
		if !l.sandbox.Stale(r.Room) && r.stands() {
			return r, nil
		}
		l.leave(r)
	}
}

// next gives a room that waits, those first whose starter fits a policy; nil when none does.
func (q *rooms) next(p *sandbox.Policy) *room {
	if r := q.fitting(p); r != nil {
		return r
	}
	select {
	case r := <-q.spare:
		return r
	default:
		return q.oldest(0)
	}
}

// fitting gives a used room whose starter fits, or any if there are many.
func (q *rooms) fitting(p *sandbox.Policy) *room {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, r := range slices.Backward(q.used) {
		if r.starter.Fits(p) {
			q.used = slices.Delete(q.used, i, i+1)
			return r
		}
	}
	return q.cut(manyRooms)
}

// oldest gives the room that has waited for longest, where there are more than some.
func (q *rooms) oldest(moreThan int) *room {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.cut(moreThan)
}

// cut is oldest for those who have mu.
func (q *rooms) cut(moreThan int) *room {
	if len(q.used) <= moreThan {
		return nil
	}
	r := q.used[0]
	q.used = slices.Delete(q.used, 0, 1)
	return r
}

// keep has a used room wait, unless there are enough.
func (q *rooms) keep(r *room) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.used) >= usedRooms {
		return false
	}
	q.used = append(q.used, r)
	return true
}

// starter gives a thread that is in the run's sandbox. That of a room stays with it for the next program.
func (r *run) starter() (*sandbox.Starter, error) {
	if r.room == nil {
		return r.l.sandbox.NewStarter(r.spec.Sandbox, nil)
	}
	if r.room.starter.Fits(r.spec.Sandbox) {
		return r.room.starter, nil
	}
	r.room.starter.Stop()
	var err error
	r.room.starter, err = r.l.sandbox.NewStarter(r.spec.Sandbox, r.room.Room)
	return r.room.starter, err
}

// vacate gives back the room of a run that is over. One that was left as it was found waits for another program.
func (l *Launcher) vacate(r *run) {
	q := r.room
	if q == nil {
		return
	}
	if q.uses++; q.uses < roomUses && r.leftNothing() && l.rooms.keep(q) {
		return
	}
	l.leave(q)
}

// leftNothing tells whether a program came, ended by itself, and left its room without a process and a file.
func (r *run) leftNothing() bool {
	return r.alone && !r.Held && r.room.stands() && r.room.Bare()
}

// stands tells whether the room's first process, and with it the room, is still there.
func (r *room) stands() bool { return !r.over && r.Stands() }

// thinRooms dissolves one of the used rooms when none was asked for since the last look.
func (l *Launcher) thinRooms() {
	if !l.rooms.taken.Swap(false) {
		l.leave(l.rooms.oldest(0))
	}
}

// leave dissolves a room, in the background: nothing but its first process is in it any more, or nothing that matters.
func (l *Launcher) leave(r *room) {
	if r == nil {
		return
	}
	r.starter.Stop()
	r.Kill()
	l.rooms.leaving.Go(func() {
		waitFor(r.PID, unix.WEXITED)
		l.mu.Lock()
		sandbox.Reap(r.PID, nil)
		delete(l.mains, r.PID)
		l.mu.Unlock()
		r.Close()
	})
}

// release removes a group of a program that has ended. What was killed with it may need a moment to be gone.
func (l *Launcher) release(g *sandbox.Group) {
	if g.Release() {
		return
	}
	l.rooms.leaving.Go(func() {
		for range releases {
			time.Sleep(killPause) //nolint:forbidigo // the kernel tells nobody when the last has gone
			if g.Release() {
				return
			}
		}
		l.log.Warn("a control group was left behind")
	})
}

// releases is how often it is tried, a killPause apart.
const releases = 500

// dissolveRooms ends the spare ones and returns when all have gone.
func (l *Launcher) dissolveRooms() {
	for r := l.rooms.next(nil); r != nil; r = l.rooms.next(nil) {
		l.leave(r)
	}
	l.rooms.leaving.Wait()
}

// holds tells whether a process is one of the room, but for the first.
func (r *room) holds(pid int) bool { return pid != r.PID && r.Holds(pid) }

// kill ends everything in the room.
func (r *room) kill() {
	if r != nil {
		r.over = true
		r.Kill()
	}
}

// populated tells whether anything outlived the program: its orphans have come to the room's first process, which
// keeps none that have ended.
func (r *room) populated() bool {
	first := strconv.Itoa(r.PID)
	list, err := os.ReadFile("/proc/" + first + "/task/" + first + "/children")
	if err != nil {
		return len(orphans(r.PID)) > 0 // not every kernel has the file
	}
	return len(list) > 0
}
