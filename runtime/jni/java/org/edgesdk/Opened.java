package org.edgesdk;

import java.nio.ByteBuffer;

/** A file's bytes, and the core's view of them, which points into them. */
final class Opened {
    final ByteBuffer bytes;
    final ByteBuffer view;

    Opened(ByteBuffer bytes, String struct) {
        this.bytes = bytes;
        this.view = Memory.allocate(EdgeRuntime.value(struct), struct);
    }

    int number(String field) {
        return view.getInt(EdgeRuntime.at(field));
    }

    static Opened open(Opened opened, String what) {
        if (opened == null) {
            throw new ClosedException("an open " + what, "a closed one", "`this`",
                    "open it again, or close it later");
        }
        return opened;
    }
}
