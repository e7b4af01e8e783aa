import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Scanner;

/** 2,000 blocks of 2,005 bytes that are no objects, for each line that comes. */
class Direct {
	public static void main(String[] args) {
		ArrayList<ByteBuffer> kept = new ArrayList<>();
		Scanner in = new Scanner(System.in);
		System.out.println("ready");
		while (in.hasNextLine()) {
			in.nextLine();
			for (int i = 0; i < 2000; i++)
				kept.add(ByteBuffer.allocateDirect(2005));
			System.out.println("done");
		}
	}
}
