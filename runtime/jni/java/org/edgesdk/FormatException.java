package org.edgesdk;

/** A file is not one of ours, or its bytes are damaged. */
public class FormatException extends EdgeException {
    private static final long serialVersionUID = 1L;

    /** Makes an error; arguments as in {@link EdgeException}. */
    public FormatException(String expected, String got, String where, String hint) {
        super(expected, got, where, hint);
    }
}
