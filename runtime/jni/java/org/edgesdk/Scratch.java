package org.edgesdk;

import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicReference;

/** Direct rooms of one call: kept for the next one, so that calls make no garbage to speak of. */
final class Scratch {
    private final ByteBuffer[] rooms = new ByteBuffer[4];

    /** Returns a room of at least `size` bytes; what it holds is of earlier calls. */
    ByteBuffer room(int place, long size, String where) {
        if (rooms[place] == null || rooms[place].capacity() < size) {
            rooms[place] = Memory.allocate(size, where);
        }
        rooms[place].clear();
        return rooms[place];
    }

    /** The scratch of one object; calls of several threads at once make more of their own. */
    static final class Pool {
        private final AtomicReference<Scratch> idle = new AtomicReference<Scratch>();

        Scratch take() {
            Scratch scratch = idle.getAndSet(null);
            return scratch == null ? new Scratch() : scratch;
        }

        void give(Scratch scratch) {
            idle.set(scratch);
        }
    }
}
