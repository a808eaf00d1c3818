package org.edgesdk.demo;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.graphics.Path;
import android.os.Bundle;
import android.os.Parcelable;
import android.util.AttributeSet;
import android.view.MotionEvent;
import android.view.View;

import org.edgesdk.demo.core.Drawing;

/** A square to draw a digit in with a finger; it keeps its strokes over rotation and death. */
public final class DrawView extends View {
    /** Told when a stroke ends, and when another one begins. */
    interface Listener {
        void onStrokeBegins();

        void onStrokeEnds();
    }

    private final Drawing drawing = new Drawing();
    private final Paint pen = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Path path = new Path();
    private Listener listener;

    public DrawView(Context context, AttributeSet attributes) {
        super(context, attributes);
        pen.setStyle(Paint.Style.STROKE);
        pen.setStrokeCap(Paint.Cap.ROUND);
        pen.setStrokeJoin(Paint.Join.ROUND);
        pen.setColor(context.getColor(R.color.ink));
        setSaveEnabled(true);
        setFocusable(true);
    }

    void setListener(Listener listener) {
        this.listener = listener;
    }

    Drawing drawing() {
        return drawing;
    }

    void clear() {
        drawing.clear();
        invalidate();
    }

    /** A square: as wide as there is room, but not so tall that the screen holds nothing else. */
    @Override
    protected void onMeasure(int widthSpec, int heightSpec) {
        int most = getResources().getDimensionPixelSize(R.dimen.drawing_most);
        int tall = getResources().getDisplayMetrics().heightPixels * 3 / 5;
        int side = Math.min(most, tall);
        if (MeasureSpec.getMode(widthSpec) != MeasureSpec.UNSPECIFIED) {
            side = Math.min(side, MeasureSpec.getSize(widthSpec));
        }
        setMeasuredDimension(side, side);
    }

    @Override
    public boolean onTouchEvent(MotionEvent event) {
        float side = Math.max(1, Math.min(getWidth(), getHeight()));
        switch (event.getActionMasked()) {
            case MotionEvent.ACTION_DOWN:
                // The page must not scroll under the finger that draws.
                getParent().requestDisallowInterceptTouchEvent(true);
                if (listener != null) {
                    listener.onStrokeBegins();
                }
                drawing.down(event.getX() / side, event.getY() / side);
                break;
            case MotionEvent.ACTION_MOVE:
                for (int i = 0; i < event.getHistorySize(); i++) {
                    drawing.to(event.getHistoricalX(i) / side, event.getHistoricalY(i) / side);
                }
                drawing.to(event.getX() / side, event.getY() / side);
                break;
            case MotionEvent.ACTION_UP:
                performClick();
                end();
                break;
            case MotionEvent.ACTION_CANCEL:
                end();
                break;
            default:
                return super.onTouchEvent(event);
        }
        invalidate();
        return true;
    }

    @Override
    public boolean performClick() {
        return super.performClick();
    }

    private void end() {
        drawing.up();
        if (listener != null) {
            listener.onStrokeEnds();
        }
    }

    @Override
    protected void onDraw(Canvas canvas) {
        super.onDraw(canvas);
        float side = Math.min(getWidth(), getHeight());
        pen.setStrokeWidth(Drawing.PEN * side);
        for (float[] stroke : drawing.strokes()) {
            path.rewind();
            path.moveTo(stroke[0] * side, stroke[1] * side);
            // A dot is a line of no length, which a round cap makes visible.
            path.lineTo(stroke[0] * side, stroke[1] * side);
            for (int i = 2; i < stroke.length; i += 2) {
                path.lineTo(stroke[i] * side, stroke[i + 1] * side);
            }
            canvas.drawPath(path, pen);
        }
    }

    @Override
    protected Parcelable onSaveInstanceState() {
        Bundle state = new Bundle();
        state.putParcelable("view", super.onSaveInstanceState());
        state.putFloatArray("strokes", drawing.save());
        return state;
    }

    @Override
    protected void onRestoreInstanceState(Parcelable saved) {
        if (saved instanceof Bundle) {
            Bundle state = (Bundle) saved;
            drawing.restore(state.getFloatArray("strokes"));
            super.onRestoreInstanceState(state.getParcelable("view"));
        } else {
            super.onRestoreInstanceState(saved);
        }
    }
}
