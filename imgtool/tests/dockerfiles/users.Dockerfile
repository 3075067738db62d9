FROM base:1
USER app
RUN id -u > /tmp/one; id -g >> /tmp/one; echo $HOME >> /tmp/one
USER app:staff
RUN id -g > /tmp/two
USER 1234
RUN id -u > /tmp/three; id -g >> /tmp/three; echo $HOME >> /tmp/three
USER 1234:5678
RUN id -g > /tmp/four
USER 0
RUN id -u > /tmp/five
ENV WHO=app
USER ${WHO}
VOLUME /tmp/volume
