# A small image of smack. See container/README.md.
FROM debian:12-slim AS build
COPY . /src
RUN cd /src && ./dev install /opt/smack && strip /opt/smack/bin/smack

FROM debian:12-slim
RUN apt-get update -qq \
	&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends librocksdb7.8 libuv1 libisal2 liblz4-1 libzstd1 \
		libsnappy1v5 zlib1g libssl3 libcurl4 libnghttp2-14 libjansson4 libinih1 librdkafka1 ca-certificates >/dev/null \
	&& rm -rf /var/lib/apt/lists/* \
	&& useradd --system --create-home --home-dir /var/lib/smack smack
COPY --from=build /opt/smack/bin/smack /usr/local/bin/smack
COPY examples/open-bandit /usr/share/smack/open-bandit
COPY container/start /usr/local/bin/smack-start
USER smack
WORKDIR /var/lib/smack
VOLUME /var/lib/smack
EXPOSE 9094
STOPSIGNAL SIGTERM
ENTRYPOINT ["smack-start"]
CMD ["demo"]
