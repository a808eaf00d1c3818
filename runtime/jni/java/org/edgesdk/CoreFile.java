package org.edgesdk;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** The sections of an opened file that the core does not read: JSON. */
final class CoreFile {
    private CoreFile() {}

    /** Returns what a section of JSON holds, or null where the file has none. */
    static Object json(ByteBuffer bytes, String tag) {
        ByteBuffer file = Memory.allocate(EdgeRuntime.value("edge_file"), tag);
        EdgeException.check(openTable(bytes, bytes.capacity(), file), tag);
        int n = file.getInt(EdgeRuntime.at("edge_file.n_sections"));
        int first = EdgeRuntime.at("edge_file.sections");
        int width = EdgeRuntime.at("edge_section");
        for (int i = 0; i < n; i++) {
            int at = first + i * width;
            int found = file.getInt(at + EdgeRuntime.at("edge_section.tag"));
            if (found != tagOf(tag)) {
                continue;
            }
            long offset = file.getLong(at + EdgeRuntime.at("edge_section.offset"));
            long size = file.getLong(at + EdgeRuntime.at("edge_section.size"));
            ByteBuffer section = bytes.duplicate();
            section.limit((int) (offset + size)).position((int) offset);
            return Json.parse(section, tag);
        }
        return null;
    }

    /** Returns a section that is a list of names; none where there is no such section. */
    static List<String> names(ByteBuffer bytes, String tag) {
        Object value = json(bytes, tag);
        List<String> names = new ArrayList<String>();
        if (value != null) {
            for (Object name : Json.list(value, tag)) {
                names.add(Json.string(name, tag));
            }
        }
        return Collections.unmodifiableList(names);
    }

    /** Returns a section that is an object; an empty one where there is no such section. */
    static Map<String, Object> object(ByteBuffer bytes, String tag) {
        Object value = json(bytes, tag);
        return value == null ? Collections.<String, Object>emptyMap() : Json.object(value, tag);
    }

    private static int tagOf(String tag) {
        return tag.charAt(0) | tag.charAt(1) << 8 | tag.charAt(2) << 16 | tag.charAt(3) << 24;
    }

    private static native int openTable(ByteBuffer bytes, long size, ByteBuffer file);
}
